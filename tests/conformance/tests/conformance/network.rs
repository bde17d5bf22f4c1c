//! What a guest does with grants of the network, of HTTP and of directories: it gets what it was
//! granted and nothing beside it, and waiting for a peer that never answers has an end.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use sandmill::core::{CancelToken, TraceContext};
use sandmill::{CallOptions, EndKind, Grants, TrapKind};
use sandmill_test_conformance::{Bench, LONG, Ran};
use serde_json::{Value, json};

use crate::table::{Case, checks, still_good};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        a_granted_peer_is_talked_to,
        nothing_is_listened_on,
        datagrams_go_to_granted_peers_and_come_from_them,
        only_granted_names_are_looked_up,
        a_granted_server_is_asked,
        requests_are_part_of_the_trace_of_their_run,
        other_servers_are_not_asked,
        a_server_without_tls_is_an_ordinary_failure,
        requests_end_with_their_run,
        a_read_only_directory_is_not_written_to_over_another,
        listings_have_a_bound,
        waiting_for_others_ends_at_the_deadline,
        waiting_for_others_ends_when_cancelled,
    ]
}

/// Longer than any run here may take.
const SHORT: Duration = Duration::from_millis(200);

fn act(bench: &Bench, grants: &Grants, task: &str, arguments: &Value) -> Ran {
    bench.run_with("network", task, &arguments.to_string(), |options| {
        options.grants = grants.clone();
    })
}

fn net(peers: &[&str]) -> Grants {
    let net = peers.iter().map(|peer| peer.parse().unwrap()).collect();
    Grants { net, ..Grants::default() }
}

fn http(servers: &[String]) -> Grants {
    let http = servers.iter().map(|server| server.parse().unwrap()).collect();
    Grants { http, ..Grants::default() }
}

/// A server of this machine: what `serve` does with each connection.
fn server(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn echo(mut stream: TcpStream) {
    let mut text = Vec::new();
    if stream.read_to_end(&mut text).is_ok() {
        let _ = stream.write_all(&text);
    }
}

/// Answers with the request's first line.
fn page(stream: TcpStream) {
    answer(stream, |request| request.lines().next().map(str::to_owned));
}

/// Answers with the trace that the request says to be part of.
fn trace(stream: TcpStream) {
    answer(stream, |request| {
        let named = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("traceparent").then(|| value.trim().to_owned())
        };
        request.lines().find_map(named)
    });
}

/// Answers with a part of the request's head.
fn answer(mut stream: TcpStream, part: fn(&str) -> Option<String>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        request.push(byte[0]);
    }
    let text = part(&String::from_utf8_lossy(&request)).unwrap_or_default();
    let length = text.len();
    let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
}

/// Answers at once, and not in the way that it was asked.
fn plain(mut stream: TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let _ = stream.read(&mut [0; 1 << 10]);
}

/// Takes everything and never says a word.
fn silence(mut stream: TcpStream) {
    while stream.read(&mut [0; 1 << 10]).is_ok_and(|read| read > 0) {}
}

/// A server that nobody should reach.
fn canary() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn was_not_reached(canary: &TcpListener) {
    thread::sleep(Duration::from_millis(20));
    assert!(canary.accept().is_err(), "the canary was reached");
}

fn a_granted_peer_is_talked_to(bench: &Bench) {
    let peer = server(echo).to_string();
    let text = "x".repeat(300_000);
    let arguments = json!({ "peer": peer, "text": text });
    for grant in [peer.as_str(), "127.0.0.1:*"] {
        let ran = act(bench, &net(&[grant]), "tcp_echo", &arguments);
        assert_eq!(ran.value::<String>(), text);
    }
    let (_, port) = peer.split_once(':').unwrap();
    let other = format!("127.0.0.1:{}", port.parse::<u16>().unwrap() ^ 1);
    for grant in [other.as_str(), "127.0.0.2:*", "[::1]:*"] {
        let ran = act(bench, &net(&[grant]), "tcp_echo", &arguments);
        let (kind, message) = ran.failure();
        assert_eq!(kind, "error", "{grant}");
        assert!(message.to_lowercase().contains("permi"), "{grant}: {message}");
    }
}

fn nothing_is_listened_on(bench: &Bench) {
    let grants = net(&["127.0.0.1:*", "0.0.0.0:*", "[::]:*", "[::1]:*"]);
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0", "127.0.0.1:18080"] {
        let ran = act(bench, &grants, "tcp_listen", &json!({ "address": address }));
        assert_eq!(ran.failure().0, "error", "{address}");
    }
    for address in ["127.0.0.1:0", "0.0.0.0:18080", "[::1]:0"] {
        let ran = act(bench, &grants, "udp_bind", &json!({ "address": address }));
        assert_eq!(ran.failure().0, "error", "{address}");
    }
}

fn datagrams_go_to_granted_peers_and_come_from_them(bench: &Bench) {
    let socket = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        (socket, address)
    };
    let (granted, peer) = socket();
    let (other, elsewhere) = socket();
    let grants = net(&[&peer]);
    for connected in [false, true] {
        let server = granted.try_clone().unwrap();
        let answer = thread::spawn(move || {
            let mut word = [0; 100];
            let (length, from) = server.recv_from(&mut word).unwrap();
            server.send_to(&word[..length], from).unwrap();
        });
        let arguments = json!({ "peer": peer, "text": "hello", "connected": connected });
        let ran = act(bench, &grants, "udp_echo", &arguments);
        assert_eq!(ran.value::<String>(), "hello");
        answer.join().unwrap();
        let arguments = json!({ "peer": elsewhere, "text": "hello", "connected": connected });
        assert_eq!(act(bench, &grants, "udp_echo", &arguments).failure().0, "error");
    }
    // Over a socket that may send to one, nothing goes to the other.
    let arguments = json!({ "peer": peer, "other": elsewhere });
    assert_eq!(act(bench, &grants, "udp_to_other", &arguments).failure().0, "error");
    assert_eq!(granted.recv(&mut [0; 10]).unwrap(), "first".len());
    other.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(other.recv(&mut [0; 10]).is_err(), "the canary was reached");
    // And what comes from another is not seen.
    let answer = thread::spawn(move || {
        let (_, guest) = granted.recv_from(&mut [0; 100]).unwrap();
        let guest = SocketAddr::from(([127, 0, 0, 1], guest.port()));
        other.send_to(b"intruder", guest).unwrap();
        granted.send_to(b"friend", guest).unwrap();
    });
    let ran = act(bench, &grants, "udp_from", &json!({ "peer": peer }));
    assert_eq!(ran.value::<String>(), "friend");
    answer.join().unwrap();
}

fn only_granted_names_are_looked_up(bench: &Bench) {
    let resolve =
        |grants: &Grants, name: &str| act(bench, grants, "resolve", &json!({ "name": name }));
    let addresses: Vec<String> = resolve(&net(&["localhost:1"]), "localhost").value();
    assert!(addresses.iter().any(|address| address == "127.0.0.1"), "{addresses:?}");
    for name in ["example.com", "a.localhost", "localhost.example.com"] {
        assert_eq!(resolve(&net(&["localhost:1"]), name).failure().0, "error", "{name}");
    }
    for grants in [Grants::default(), net(&["127.0.0.1:1"]), http(&["localhost".to_owned()])] {
        assert_eq!(resolve(&grants, "localhost").failure().0, "error", "{grants:?}");
    }
    // A name grants its addresses, at its port.
    let peer = server(echo);
    let grants = net(&[&format!("localhost:{}", peer.port())]);
    for host in ["localhost", "127.0.0.1"] {
        let arguments = json!({ "peer": format!("{host}:{}", peer.port()), "text": "a" });
        assert_eq!(act(bench, &grants, "tcp_echo", &arguments).value::<String>(), "a");
    }
}

fn get(bench: &Bench, grants: &Grants, scheme: &str, authority: &str) -> Ran {
    let arguments = json!({ "scheme": scheme, "authority": authority, "path": "/a?b" });
    act(bench, grants, "http_get", &arguments)
}

fn a_granted_server_is_asked(bench: &Bench) {
    let port = server(page).port();
    for host in ["127.0.0.1", "localhost"] {
        let authority = format!("{host}:{port}");
        let ran = get(bench, &http(std::slice::from_ref(&authority)), "http", &authority);
        assert_eq!(ran.value::<(u16, String)>(), (200, "GET /a?b HTTP/1.1".to_owned()));
    }
}

fn requests_are_part_of_the_trace_of_their_run(bench: &Bench) {
    let authority = server(trace).to_string();
    let arguments = json!({ "scheme": "http", "authority": authority, "path": "/" }).to_string();
    let asked = |trace: Option<TraceContext>| {
        let ran = bench.run_with("network", "http_get", &arguments, |options| {
            options.grants = http(std::slice::from_ref(&authority));
            options.trace = trace;
        });
        (ran.future.id(), ran.value::<(u16, String)>().1)
    };
    assert_eq!(asked(None).1, "");
    let trace: TraceContext =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let (run, said) = asked(Some(trace));
    assert_eq!(said, trace.below(run).to_string());
}

fn other_servers_are_not_asked(bench: &Bench) {
    let (granted, canary) = (server(page), canary());
    let port = canary.local_addr().unwrap().port();
    let grants = http(&[granted.to_string(), "localhost".to_owned()]);
    let denied = |grants: &Grants, scheme: &str, authority: &str| {
        let ran = get(bench, grants, scheme, authority);
        let (kind, message) = ran.failure();
        assert_eq!(kind, "error", "{authority}");
        assert!(message.contains("RequestDenied"), "{authority}: {message}");
    };
    let there = format!("127.0.0.1:{port}");
    // A peer that may be connected to is not a server that may be asked, nor the other way round.
    for grants in [Grants::default(), net(&[&there]), grants.clone()] {
        for scheme in ["http", "https"] {
            denied(&grants, scheme, &there);
            denied(&grants, scheme, &format!("localhost:{port}"));
        }
    }
    let arguments = json!({ "peer": granted.to_string(), "text": "GET / HTTP/1.1\r\n\r\n" });
    assert_eq!(act(bench, &grants, "tcp_echo", &arguments).failure().0, "error");
    for authority in [
        format!("{granted}@127.0.0.1:{port}"),
        format!("user@{granted}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("0.0.0.0:{port}"),
        format!("2130706433:{port}"),
        "127.0.0.1".to_owned(),
        "169.254.169.254".to_owned(),
    ] {
        denied(&grants, "http", &authority);
    }
    was_not_reached(&canary);
    still_good(bench);
}

fn a_server_without_tls_is_an_ordinary_failure(bench: &Bench) {
    let authority = server(plain).to_string();
    let ran = get(bench, &http(std::slice::from_ref(&authority)), "https", &authority);
    let (kind, message) = ran.failure();
    assert_eq!(kind, "error");
    assert!(message.contains("Tls"), "{message}");
}

fn requests_end_with_their_run(bench: &Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let grants = http(std::slice::from_ref(&authority));
    let arguments = json!({ "authority": authority, "count": 20 });
    assert_eq!(act(bench, &grants, "http_hold", &arguments).value::<u32>(), 20);
    // Each that came as far as a connection is closed, without a word from here.
    listener.set_nonblocking(true).unwrap();
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(
            !matches!(&ended, Err(error) if error.kind() == ErrorKind::WouldBlock),
            "{ended:?}"
        );
    }
}

fn a_read_only_directory_is_not_written_to_over_another(bench: &Bench) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ro", "rw"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("file"), name).unwrap();
    }
    let grant = |name: &str| {
        format!("{}::/{name}:{name}", folder.path().join(name).display()).parse().unwrap()
    };
    let grants = Grants { dirs: vec![grant("ro"), grant("rw")], ..Grants::default() };
    let fails = |task: &str, arguments: Value| {
        let ran = act(bench, &grants, task, &arguments);
        assert_eq!(ran.failure().0, "error", "{task} {arguments}");
    };
    for task in ["rename", "hard_link"] {
        for (from, to) in [
            ("/ro/file", "/rw/new"),
            ("/rw/file", "/ro/new"),
            ("/rw/file", "/ro/file"),
            ("/ro/file", "/ro/new"),
            ("/rw/file", "/rw/../ro/new"),
            ("/rw/file", "/rw/../../new"),
        ] {
            fails(task, json!({ "from": from, "to": to }));
        }
    }
    fails("set_size", json!({ "path": "/ro/file", "size": 0 }));
    fails("set_times", json!({ "path": "/ro/file" }));
    for name in ["ro", "rw"] {
        let text = fs::read_to_string(folder.path().join(name).join("file")).unwrap();
        assert_eq!(text, name);
        assert_eq!(fs::read_dir(folder.path().join(name)).unwrap().count(), 1);
    }
    let within = json!({ "from": "/rw/file", "to": "/rw/new" });
    let moved = act(bench, &grants, "rename", &within);
    assert_eq!(moved.value::<Option<()>>(), None);
    assert!(folder.path().join("rw/new").exists());
}

fn listings_have_a_bound(bench: &Bench) {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2_000 {
        fs::write(folder.path().join(number.to_string()), "").unwrap();
    }
    let grant = format!("{}::/data", folder.path().display()).parse().unwrap();
    let grants = Grants { dirs: vec![grant], ..Grants::default() };
    let hold = |count: u32| act(bench, &grants, "hold_listings", &json!({ "count": count }));
    assert_eq!(hold(100).value::<u32>(), 100);
    let ran = hold(900);
    let (kind, message) = ran.end();
    assert_eq!(kind, EndKind::Trapped(TrapKind::Contract), "{message}");
    assert!(message.contains("1000000 entries"), "{message}");
}

/// What waits for somebody else, for ever: a task, its arguments and its grants. The folder holds
/// a FIFO that nobody writes to.
fn waits(folder: &tempfile::TempDir) -> Vec<(&'static str, &'static str, Value, Grants)> {
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()), "there is no FIFO");
    let silent = server(silence).to_string();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let dir = format!("{}::/data", folder.path().display()).parse().unwrap();
    vec![
        ("hostile", "oversleep", json!({ "seconds": 1_000 }), Grants::default()),
        (
            "hostile",
            "oversleep",
            json!({ "seconds": 1_000 }),
            Grants { clock: true, ..Grants::default() },
        ),
        (
            "probe",
            "read",
            json!({ "path": "/data/fifo" }),
            Grants { dirs: vec![dir], ..Grants::default() },
        ),
        ("network", "tcp_wait", json!({ "peer": silent }), net(&[&silent])),
        ("network", "udp_from", json!({ "peer": udp }), net(&[&udp])),
        (
            "network",
            "http_get",
            json!({ "scheme": "http", "authority": silent, "path": "/" }),
            http(std::slice::from_ref(&silent)),
        ),
        (
            "network",
            "http_get",
            json!({ "scheme": "https", "authority": silent, "path": "/" }),
            http(std::slice::from_ref(&silent)),
        ),
    ]
}

fn waiting_for_others_ends_at_the_deadline(bench: &Bench) {
    let folder = tempfile::tempdir().unwrap();
    for (guest, task, arguments, grants) in waits(&folder) {
        let start = Instant::now();
        let ran = bench.run_with(guest, task, &arguments.to_string(), |options| {
            options.grants = grants;
            options.limits.timeout = SHORT;
        });
        assert_eq!(ran.end().0, EndKind::TimedOut, "{task}");
        assert!(start.elapsed() >= SHORT && start.elapsed() < LONG / 2, "{task}");
    }
    still_good(bench);
}

fn waiting_for_others_ends_when_cancelled(bench: &Bench) {
    let folder = tempfile::tempdir().unwrap();
    for (guest, task, arguments, grants) in waits(&folder) {
        let token = CancelToken::new();
        let cancel = Some(token.clone());
        let options = CallOptions { grants, cancel, ..CallOptions::default() };
        let call = bench.call(guest, task, &arguments.to_string()).with_options(options);
        let canceller = thread::spawn(move || {
            thread::sleep(SHORT);
            token.cancel();
        });
        let ran = bench.run_call(call);
        canceller.join().unwrap();
        assert_eq!(ran.end().0, EndKind::Cancelled, "{task}");
    }
    still_good(bench);
}
