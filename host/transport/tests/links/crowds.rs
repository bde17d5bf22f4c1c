//! Many who are refused: the host is told of each, but not in as many words.

use std::time::Instant;

use sandmill_transport::direct::{Notice, REFUSALS_A_SECOND};
use tokio::net::TcpStream;

use crate::certificates::Pki;
use crate::support::*;

const CROWD: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_strangers_is_told_of_in_few_words() {
    let pki = Pki::new();
    let served = Served::on("tls://localhost:0", pki.server("localhost")).await;
    let address = format!("127.0.0.1:{}", served.port());
    // `localhost` may be either; the server listens at one of them.
    let (address, first) = match TcpStream::connect(&address).await {
        Ok(first) => (address, first),
        Err(_) => {
            let other = format!("[::1]:{}", served.port());
            let first = TcpStream::connect(&other).await.unwrap();
            (other, first)
        }
    };
    drop(first);
    let began = Instant::now();
    for _ in 1..CROWD {
        drop(TcpStream::connect(&address).await.unwrap());
    }
    let counted = || {
        let notices = served.notices.lock();
        let refused = |notice: &Notice| match notice {
            Notice::Refused { .. } => 1,
            Notice::MoreRefused { count } => *count,
            _ => 0,
        };
        (notices.len() as u64, notices.iter().map(refused).sum::<u64>())
    };
    eventually("all of them to be told of", || counted().1 == CROWD).await;
    // So many for each second that has begun, and one that tells how many more.
    let seconds = began.elapsed().as_secs() + 2;
    let most = seconds * (u64::from(REFUSALS_A_SECOND) + 1);
    let (lines, _) = counted();
    assert!(lines <= most && lines < CROWD / 2, "{lines} notices in {seconds} seconds");
    // The next one is told of by itself again.
    let before = served.notices.lock().len();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    drop(TcpStream::connect(&address).await.unwrap());
    eventually("another one to be told of", || served.notices.lock().len() > before).await;
    let notices = served.notices.lock();
    assert!(matches!(notices.last(), Some(Notice::Refused { .. })), "{:?}", notices.last());
}
