//! A worker on a host of a network.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::binary;
use crate::metrics::Metrics;
use crate::network::Network;
use crate::process::Process;

/// Where workers listen on their hosts.
pub const PORT: u16 = 7070;
/// Where they say how they are, to their own host only.
const STATUS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7071);

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct WorkerSetup {
    /// How many runs it makes at a time.
    pub slots: usize,
    /// How others are kept out: arguments.
    pub security: Vec<String>,
    /// More arguments.
    pub more: Vec<String>,
}

/// A worker, killed when it goes.
pub struct Worker {
    process: Process,
    namespace: String,
    address: String,
}

impl Worker {
    /// Starts one on a host; what it says goes to a file in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(network: &Network, host: usize, setup: &WorkerSetup, folder: &Path) -> Self {
        let address = format!("tls://{}:{PORT}", network.address(host));
        let mut command = network.command(host, binary::path());
        command
            .args(["worker", "--listen", &address, "--slots", &setup.slots.to_string()])
            .args(["--http", &STATUS.to_string()])
            .args(&setup.security)
            .args(&setup.more);
        binary::surround(&mut command, &data(folder, host));
        let process = Process::start(&mut command, folder, &format!("worker-{host}"));
        Self { process, namespace: network.namespace(host), address }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its numbers.
    ///
    /// # Errors
    /// It does not answer.
    pub fn metrics(&self) -> Result<Metrics, String> {
        Metrics::ask(&self.namespace, STATUS)
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// What it has said.
    #[must_use]
    pub fn said(&self) -> String {
        self.process.said()
    }

    /// Its process.
    #[must_use]
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The same, to be waited for.
    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }
}

/// What a worker keeps, if it keeps anything, is kept for each host.
fn data(folder: &Path, host: usize) -> PathBuf {
    folder.join(format!("worker-{host}.data"))
}
