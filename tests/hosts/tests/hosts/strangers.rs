//! Those who may not come to a worker, and what it costs the others when they try.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use sandmill_test_hosts::{Certificates, HEALED_WITHIN, LONG, MANY, PORT, Trial, Workload, count};

use crate::{made_by_all, needs_networks};

/// Connections that are open at the same time and say next to nothing.
const SLOW: usize = 1_000;

/// Says of each who may not give runs to workers why, and of the workers that they got nothing.
fn refused(trial: &Trial, who: &str, security: &[String], why_here: &[&str], why_there: &[&str]) {
    let before: Vec<usize> = (0..3).map(|host| trial.worker(host).said().len()).collect();
    let traffic: u64 = (0..3).map(|host| trial.network.traffic(host).0).sum();
    let flow = trial.flow();
    let ended = trial.start_coordinator(&["run", &flow], security).wait(LONG);
    // The log of a worker is not written in the same moment.
    sleep(Duration::from_millis(500));
    let there: String =
        (0..3).map(|host| trial.worker(host).said()[before[host]..].to_owned()).collect();
    println!("{who}: exit code {:?}\n  here:\n{}\n  there:\n{there}", ended.code, ended.stderr);
    assert!(matches!(ended.code, Some(2 | 3)), "{who}: {ended:?}");
    let says = |text: &str, words: &[&str]| words.iter().any(|words| text.contains(words));
    assert!(says(&ended.stderr, why_here), "{who}: no reason here");
    assert!(why_there.is_empty() || says(&there, why_there), "{who}: no reason there");
    for host in 0..3 {
        let metrics = trial.metrics(host);
        for name in ["component_transfers", "received_bytes", "sent_bytes", "runs_ended"] {
            let count = count(&metrics, &format!("sandmill_worker_{name}_total"));
            assert_eq!(count, 0, "{who}: host {host}: {name}");
        }
    }
    // Handshakes, and nothing like a component.
    let sent: u64 = (0..3).map(|host| trial.network.traffic(host).0).sum();
    assert!(sent - traffic < 200_000, "{who}: {} bytes were sent", sent - traffic);
}

#[test]
fn those_who_may_not_come_are_told_why_and_send_nothing() {
    needs_networks!();
    let workload = Workload::naps(100, (1, 1)).with_component_of(1 << 20);
    let trial = Trial::new(workload, 2);
    let own = &trial.certificates;
    let others = Certificates::new(&trial.folder().join("others"));
    // All that is needed, but by an authority that the workers do not know.
    let mut stranger = others.issue("submit", "stranger", &[]);
    let last = stranger.len() - 1;
    let knows_workers = own.files("coordinator")[last].clone();
    let takes_nobody = stranger.clone();
    stranger[last] = knows_workers;
    let observer = own.issue("observe", "observer", &[]);
    let worker = own.issue("worker", "other-worker", &[]);
    let expired = own.issue("submit", "late", &["--valid", "1s"]);
    let token = trial.token();
    sleep(Duration::from_secs(2));
    let authority = &["unknown", "authority", "issued", "trust"];
    refused(&trial, "nobody", &[], &["certificate"], &[]);
    refused(&trial, "somebody with a token", &["--token".to_owned(), token], authority, authority);
    refused(&trial, "a stranger", &stranger, authority, authority);
    refused(&trial, "one who does not know the workers", &takes_nobody, authority, authority);
    refused(&trial, "an observer", &observer, &["observe"], &["observe"]);
    refused(&trial, "another worker", &worker, &["worker"], &["worker"]);
    refused(&trial, "one who came too late", &expired, &["expired"], &["expired"]);
    // And after all of them somebody who may.
    let coordinator = trial.run();
    let _ = trial.finish(coordinator);
}

#[test]
fn a_token_lets_in_who_has_it_and_nobody_else() {
    needs_networks!();
    let workload = Workload::naps(100, (1, 1)).with_component_of(1 << 20);
    let mut trial = Trial::without_workers(workload, 2);
    let (token, other) = (trial.token(), trial.token());
    trial.secure_workers(&["--token", &token]);
    (0..3).for_each(|host| trial.start_worker(host));
    let with = |token: &str| ["--token".to_owned(), token.to_owned()];
    let why = &["token", "unknown", "authority"];
    refused(&trial, "somebody with another token", &with(&other), why, why);
    let certificate = trial.certificates.files("coordinator");
    refused(&trial, "somebody with a certificate", &certificate, why, why);
    let coordinator = trial.start_coordinator(&["run", &trial.flow()], &with(&token));
    let _ = trial.finish(coordinator);
}

#[test]
fn an_address_that_others_reach_is_not_opened_without_a_word_of_who_may_come() {
    needs_networks!();
    let trial = Trial::without_workers(Workload::naps(1, (1, 1)), 1);
    for address in
        [format!("tls://{}:{PORT}", trial.network.address(0)), "tls://0.0.0.0:0".to_owned()]
    {
        let mut command = trial.binary(0, &["worker", "--listen", &address]);
        let output = command.output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{address}: {said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("other machines") && said.contains("cert"), "{said}");
    }
}

/// Garbage, lengths that nothing has, and connections that say next to nothing, all the while.
#[test]
fn nonsense_and_slow_strangers_do_not_keep_a_worker_from_its_runs() {
    needs_networks!();
    let trial = Trial::new(Workload::naps(MANY / 2, (10, 30)), 8);
    let address: SocketAddr =
        format!("{}:{PORT}", trial.network.address(0)).parse().expect("an address");
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 1_000, LONG);
    let stop = Arc::new(AtomicBool::new(false));
    let (nonsense, slow) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let threads = [
        talk_nonsense(address, Arc::clone(&stop), Arc::clone(&nonsense)),
        be_slow(address, Arc::clone(&stop), Arc::clone(&slow)),
    ];
    let before = (trial.done(), trial.made(0));
    sleep(Duration::from_secs(5));
    let (made, done) = (trial.made(0) - before.1, trial.done() - before.0);
    let healed = trial.wait_for_healing(&mut coordinator, 0);
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no panic");
    }
    let (ended, whole) = trial.finish(coordinator);
    let (nonsense, slow) = (nonsense.load(Ordering::Relaxed), slow.load(Ordering::Relaxed));
    println!(
        "{nonsense} times nonsense and {slow} slow connections within 5 s: host 0 made {made} runs \
         of {done}; again some after {healed:?}; {} runs were made again; {whole:?}; {:?} in all",
        made_by_all(&trial) - MANY / 2,
        ended.took
    );
    assert!(healed < HEALED_WITHIN && made > 200, "the worker made {made} runs");
    assert!(nonsense > 10 && slow >= SLOW as u64, "{nonsense} and {slow}");
}

/// Connects again and again, and says what nobody understands.
fn talk_nonsense(
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let noise: Vec<u8> =
            (0..4_096_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let words: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\nHost: sandmill\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x00",
            // A TLS record of 65,535 bytes, which no record may have, and of 16 KiB, which never come.
            b"\x16\x03\x01\xff\xff\x01\x00\xff\xff\xff",
            b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03",
            &noise,
        ];
        for word in words.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
                let _ = stream.write_all(word);
                let _ = stream.read(&mut [0; 64]);
                count.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(5));
        }
    })
}

/// Holds many connections, says a byte on each now and then, and makes those anew that were closed.
fn be_slow(
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut streams: Vec<TcpStream> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            streams.retain_mut(|stream| stream.write_all(b"\x16").is_ok());
            while streams.len() < SLOW && !stop.load(Ordering::Relaxed) {
                let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200))
                else {
                    break;
                };
                count.fetch_add(1, Ordering::Relaxed);
                streams.push(stream);
            }
            sleep(Duration::from_millis(100));
        }
    })
}
