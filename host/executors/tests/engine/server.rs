//! Real NATS servers for these tests, which can be killed, wiped and damaged.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sandmill_test_artifacts as artifacts;
use sandmill_transport::engine::{EngineBounds, EngineConfig};

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A server, which goes when this does, or when the process of the tests does.
pub(crate) struct Server {
    guard: Option<Child>,
    pub(crate) port: u16,
    folder: PathBuf,
    more: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One with more in its configuration.
    pub(crate) fn with(more: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("engine-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut server = Self { guard: None, port: free_port(), folder, more: more.to_owned() };
        server.go_on();
        server
    }

    /// Starts it again, where it was killed.
    pub(crate) fn go_on(&mut self) {
        let config = self.folder.join("server.conf");
        let text = format!(
            "listen: 127.0.0.1:{}\njetstream {{ store_dir: {:?}, max_file: 10TB, max_mem: 1GB }}\n{}\n",
            self.port,
            self.folder.join("store").display().to_string(),
            self.more
        );
        fs::write(&config, text).unwrap();
        // The server ends when this process does, however that ends: then nobody holds the pipe.
        let script = "\"$0\" -c \"$1\" >\"$2\" 2>&1 & pid=$!; read _; kill -9 $pid";
        let guard = Command::new("sh")
            .args(["-c", script])
            .arg(artifacts::nats_server())
            .arg(&config)
            .arg(self.folder.join("log"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        self.guard = Some(guard);
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < LONG, "the server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills it, at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            guard.wait().unwrap();
            let start = Instant::now();
            while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                assert!(start.elapsed() < LONG, "the server does not end");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Removes all that a killed server kept.
    pub(crate) fn wipe(&self) {
        assert!(self.guard.is_none());
        fs::remove_dir_all(self.folder.join("store")).unwrap();
    }

    /// Breaks what a killed server kept of messages: a byte is another, or an end is gone; how many
    /// files that were.
    pub(crate) fn damage(&self) -> usize {
        assert!(self.guard.is_none());
        let (mut folders, mut damaged) = (vec![self.folder.join("store")], 0);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "blk") {
                    let mut bytes = fs::read(&path).unwrap();
                    let middle = bytes.len() / 2;
                    if let Some(byte) = bytes.get_mut(middle) {
                        *byte ^= 0x55;
                        damaged += 1;
                        if damaged % 2 == 0 {
                            bytes.truncate(middle + middle / 2);
                        }
                        fs::write(&path, bytes).unwrap();
                    }
                }
            }
        }
        damaged
    }

    /// Names of its own, in small stores.
    pub(crate) fn config(&self) -> EngineConfig {
        config_at(&format!("nats://127.0.0.1:{}", self.port))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn config_at(url: &str) -> EngineConfig {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut config = EngineConfig::new(url).unwrap();
    config.name = format!("test-{}", COUNT.fetch_add(1, Ordering::SeqCst));
    config.bounds = EngineBounds {
        work_bytes: 256 << 20,
        out_bytes: 256 << 20,
        component_bytes: 256 << 20,
        value_bytes: 512 << 20,
        ..EngineBounds::default()
    };
    config
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The one that most tests share.
pub(crate) fn shared() -> &'static Server {
    static SHARED: LazyLock<Server> = LazyLock::new(Server::start);
    &SHARED
}
