//! The NATS server of these tests, which takes one user, and goes with their process however that
//! ends.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use sandmill_test_artifacts as artifacts;

use crate::running::LONG;

/// The password of its user.
pub(crate) const PASSWORD: &str = "open-sesame";

/// Kills the server, and removes what it kept, when nobody holds the other end of its standard
/// input any more.
const GUARD: &str = r#""$0" -c "$1/server.conf" >"$1/log" 2>&1 & server=$!
read _; kill -9 $server; wait $server 2>/dev/null; rm -rf "$1""#;

/// A server that is there.
pub(crate) struct Server {
    port: u16,
    /// Holds the pipe that the guard reads.
    _guard: Child,
}

/// The one that all of these tests share.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// A port at which nobody listens.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    listener.local_addr().expect("it is bound").port()
}

impl Server {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("engine-of-commands-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the target directory can be written to");
        let port = free_port();
        // What streams may hold counts as held, for all names together.
        let config = format!(
            "listen: 127.0.0.1:{port}\nauthorization {{ user: ada, password: {PASSWORD:?} }}\n\
             jetstream {{ store_dir: {:?}, max_file: 100TB, max_mem: 1GB }}\n",
            folder.join("store").display().to_string(),
        );
        std::fs::write(folder.join("server.conf"), config).expect("the folder can be written to");
        let guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(artifacts::nats_server())
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < LONG, "the server does not start: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
        Self { port, _guard: guard }
    }

    /// Where it is, for its user.
    pub(crate) fn url(&self) -> String {
        format!("nats://ada:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// The same as people are shown it.
    pub(crate) fn shown(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}
