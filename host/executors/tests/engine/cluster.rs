//! Three servers that keep everything three times: one of them dies in the middle of it all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandmill_core::{Attempt, Executor, Report, Usage};
use sandmill_transport::engine::{Engine, EngineConfig};
use sandmill_wire::Outcome;

use crate::failures::{Opened, served};
use crate::server::{LONG, Server, config_at, free_port};
use crate::support::Script;

/// Servers of one cluster, and where each tells about itself.
struct Cluster {
    servers: Vec<Server>,
    monitors: Vec<u16>,
}

impl Cluster {
    fn start() -> Self {
        let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let monitors: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let all: Vec<String> =
            routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let servers = (0..3)
            .map(|place| {
                Server::with(&format!(
                    "server_name: n{place}\nhttp: 127.0.0.1:{}\n\
                     cluster {{ name: c, listen: 127.0.0.1:{}, routes: [{}] }}",
                    monitors[place],
                    routes[place],
                    all.join(", ")
                ))
            })
            .collect();
        Self { servers, monitors }
    }

    /// Names of its own, with all three servers.
    fn config(&self) -> EngineConfig {
        let urls: Vec<String> =
            self.servers.iter().map(|s| format!("nats://127.0.0.1:{}", s.port)).collect();
        EngineConfig { replicas: Some(3), ..config_at(&urls.join(",")) }
    }

    /// Waits until they have agreed on who leads, and all is made.
    fn settle(&self, config: &EngineConfig) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let start = Instant::now();
        while let Err(error) = runtime.block_on(Engine::connect(config.clone())) {
            assert!(start.elapsed() < LONG, "{error}: {}", self.servers[0].log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Which server leads a stream.
    fn leader(&self, stream: &str) -> usize {
        let start = Instant::now();
        loop {
            for port in &self.monitors {
                let said = get(*port, "/jsz?accounts=true&streams=true").unwrap_or_default();
                let about = said.split_once(&format!("\"name\": \"{stream}\""));
                let leader = about.and_then(|(_, about)| about.split("\"leader\": \"n").nth(1));
                if let Some(place) = leader.and_then(|rest| rest[..1].parse().ok()) {
                    return place;
                }
            }
            assert!(start.elapsed() < LONG, "nobody leads {stream}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}

#[test]
fn a_leader_that_is_killed_costs_time_only() {
    let mut cluster = Cluster::start();
    let config = cluster.config();
    cluster.settle(&config);
    let moments: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let sink = Arc::clone(&moments);
    let script = Script::new(move |attempt: &Attempt<'_>| {
        sink.lock().push(Instant::now());
        thread::sleep(Duration::from_millis(2));
        let number = attempt.call.arguments.get("n").unwrap();
        Report::new(Outcome::Value(number), Usage { wall_micros: 2_000, ..Usage::default() })
    });
    let _workers = [served(&config, &script, "a", 2), served(&config, &script, "b", 2)];
    let opened = Opened::at(&config, &script);
    let leader = cluster.leader(&format!("{}-work", config.name));
    let start = Instant::now();
    let mut killed = start;
    opened.map(&script, 3_000, || {
        cluster.servers[leader].kill();
        killed = Instant::now();
    });
    let moments = moments.lock();
    let pause = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    println!(
        "the leader was killed after {:?}: nothing began for {pause:?}, all was done {:?} after it, \
         {} made",
        killed - start,
        killed.elapsed(),
        moments.len()
    );
    opened.executor.abort();
}
