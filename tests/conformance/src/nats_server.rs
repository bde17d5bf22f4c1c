//! The NATS server of the tests, which goes with their process however that ends.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sandmill::transport::engine::{EngineBounds, EngineConfig};
use sandmill_test_artifacts as artifacts;

use crate::LONG;

/// Kills the server, and removes what it kept, when nobody holds the other end of its standard
/// input any more.
const GUARD: &str = r#""$0" -c "$1/server.conf" >"$1/log" 2>&1 & server=$!
read _; kill -9 $server; wait $server 2>/dev/null; rm -rf "$1""#;

struct Server {
    port: u16,
    /// Holds the pipe that the guard reads.
    _guard: Child,
}

/// Names at the server that nobody else uses.
pub(crate) fn engine() -> EngineConfig {
    static SERVER: OnceLock<Server> = OnceLock::new();
    static NAMES: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(Server::start);
    let url = format!("nats://127.0.0.1:{}", server.port);
    let mut config = EngineConfig::new(&url).expect("it is a URL");
    config.name = format!("conformance-{}", NAMES.fetch_add(1, Ordering::Relaxed));
    // What streams may hold counts as held, for all names together.
    config.bounds = EngineBounds {
        work_bytes: 256 << 20,
        out_bytes: 256 << 20,
        component_bytes: 256 << 20,
        value_bytes: 512 << 20,
        ..EngineBounds::default()
    };
    config
}

impl Server {
    fn start() -> Self {
        let folder = artifacts::scratch().join(format!("nats-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the target directory can be written to");
        let free = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let config = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?}, max_file: 100TB, max_mem: 1GB }}\n",
            folder.join("store").display().to_string(),
        );
        fs::write(folder.join("server.conf"), config).expect("the folder can be written to");
        let guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(artifacts::nats_server())
            .arg(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(start.elapsed() < LONG, "the NATS server does not start: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { port, _guard: guard }
    }
}
