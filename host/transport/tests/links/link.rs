//! What is said over a link, on each kind of address; how links end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sandmill_transport::direct::{LinkError, Listener, SendError, ServeError, connect, serve};
use sandmill_transport::message::{FromWorker, Goodbye, Order, ToWorker};
use sandmill_transport::security::{ClientSecurity, ServerSecurity};
use sandmill_transport::{Address, LINK_QUEUE_BYTES};
use tokio_util::sync::CancellationToken;

use crate::certificates::Pki;
use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_address_echoes() {
    let pki = Pki::new();
    for (address, server, client) in [
        ("unix:DIR/s", ServerSecurity::Plain, ClientSecurity::Plain),
        ("tcp://127.0.0.1:0", ServerSecurity::Plain, ClientSecurity::Plain),
        ("tls://localhost:0", pki.server("localhost"), pki.client()),
        ("tls://127.0.0.1:0", pki.server("127.0.0.1"), pki.client()),
    ] {
        let served = Served::on(address, server).await;
        let (welcome, mut connection) = served.connect(&client).await.unwrap();
        assert_eq!(welcome.name, "echo");
        assert_eq!(welcome.resources["memory"], 2.5);
        echoes(&mut connection, 2_000).await;
        // Small runs share frames, and come out of them together.
        assert!(served.echo.frames.load(Ordering::SeqCst) <= 2_000);
        assert!(served.notices_text().contains("has connected"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_while_a_link_is_busy_is_heard_together() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let (_, mut connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    let orders: Vec<Order> = (0..20_000_usize).map(|n| order(&n.to_be_bytes())).collect();
    // One message of several megabytes, which goes in several frames.
    connection.sender.send(ToWorker::Orders(orders.clone())).await.unwrap();
    let mut back = Vec::new();
    while back.len() < orders.len() {
        match next(&mut connection).await {
            FromWorker::Ended(reports) => back.extend(reports),
            other => panic!("not asked for: {other:?}"),
        }
    }
    assert!(back.iter().map(|report| report.of.run).eq(orders.iter().map(|order| order.run)));
    assert!(served.echo.frames.load(Ordering::SeqCst) < 50, "many small messages were heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_more_than_is_heard_waits() {
    let echo = Echo { deaf: true, ..Echo::default() };
    let served = Served::with(
        "unix:DIR/s",
        ServerSecurity::Plain,
        echo,
        sandmill_transport::direct::ServeOptions::default(),
    )
    .await;
    let (_, connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    let large = || ToWorker::Orders(vec![order(&vec![1; 500 << 10])]);
    let mut sent = 0_usize;
    let full = loop {
        match connection.sender.try_send(large()) {
            Ok(()) => sent += 500 << 10,
            Err(SendError::Full) => {
                // The connection may still take some of it.
                tokio::time::sleep(Duration::from_millis(200)).await;
                if let Err(error) = connection.sender.try_send(large()) {
                    break error;
                }
                sent += 500 << 10;
            }
            Err(other) => panic!("{other}"),
        }
        // Queues of both sides, and the window.
        assert!(sent < 64 * LINK_QUEUE_BYTES, "a link takes without end");
    };
    assert_eq!(full, SendError::Full);
    let waiting = connection.sender.send(large());
    assert!(tokio::time::timeout(Duration::from_millis(300), waiting).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_fits_no_frame_is_not_taken() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let (_, mut connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    let too_large = ToWorker::Orders(vec![order(&vec![0; 2 << 20])]);
    let error = connection.sender.send(too_large).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge(size) if size > 2 << 20), "{error}");
    echoes(&mut connection, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_ends_when_either_side_has_nothing_more_to_say() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let (_, mut connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    let goodbye = Goodbye::Leaving("the flow is done".to_owned());
    connection.sender.send(ToWorker::Goodbye(goodbye)).await.unwrap();
    // The echo ends its side, so the link ends in order.
    let end = tokio::time::timeout(PATIENCE, connection.receiver.recv()).await.unwrap();
    assert!(end.is_none(), "{end:?}");
    let sending = async {
        while connection.sender.send(ToWorker::Heartbeat).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sending).await.expect("the sender sees that the link ended");

    let (_, connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    drop(connection);
    eventually("both links to end", || served.echo.closed.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so() {
    let mut served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let (_, mut connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    echoes(&mut connection, 10).await;
    served.stop.cancel();
    match next(&mut connection).await {
        FromWorker::Goodbye(Goodbye::Leaving(why)) => assert_eq!(why, "the worker is going away"),
        other => panic!("not a goodbye: {other:?}"),
    }
    assert!(connection.receiver.recv().await.is_none());
    tokio::time::timeout(PATIENCE, &mut served.task).await.unwrap().unwrap();
    let Address::Unix(path) = &served.address else { panic!("not a socket") };
    assert!(!path.exists(), "the socket's file is left");
    let error = served.connect(&ClientSecurity::Plain).await.unwrap_err();
    assert!(matches!(error, LinkError::Connect { .. }), "{error:?}");
    assert!(error.is_passing());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_its_users_only_and_replaces_what_a_dead_process_left() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let address = Address::Unix(path.clone());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind(&address).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let taken = Listener::bind(&address).await.unwrap_err().to_string();
    assert!(taken.contains("somebody listens there"), "{taken}");
    drop(listener);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "something is left");
    std::fs::write(&path, "a file").unwrap();
    let file = Listener::bind(&address).await.unwrap_err().to_string();
    assert!(file.contains("not a socket"), "{file}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_others_reach_take_certificates() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let listener = Listener::bind(&"tls://0.0.0.0:0".parse().unwrap()).await.unwrap();
    let stop = CancellationToken::new();
    let service = std::sync::Arc::new(Worker(served.echo.clone()));
    let error = serve(listener, ServerSecurity::Plain, service, stop).await.unwrap_err();
    assert!(matches!(error, ServeError::Open(_)));
    let words = error.to_string();
    assert!(words.contains("sandmill cert init") && words.contains("join token"), "{words}");

    let address = "tls://127.0.0.1:9".parse().unwrap();
    let error = connect(&address, &ClientSecurity::Plain, hello(), patient()).await.unwrap_err();
    assert!(error.to_string().contains("takes a certificate or a join token"), "{error}");
    assert!(!error.is_passing());
}
