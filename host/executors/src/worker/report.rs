//! What a worker tells those who look on over a link. What it tells its own host is in `status`.

use sandmill_transport::message::{Load, WorkerStatusReport};

use super::process;
use super::worker::Worker;

impl Worker {
    /// How it stands, for others.
    #[must_use]
    pub fn report(&self) -> WorkerStatusReport {
        let status = self.status();
        let config = self.config();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (memory, cpu_micros) = process::usage();
        WorkerStatusReport {
            worker: status.worker,
            program: config.program.clone(),
            name: status.name,
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            slots: count(status.slots),
            load: Load {
                running: count(status.running),
                waiting: count(status.waiting),
                memory,
                cpu_micros,
            },
            draining: status.draining,
            sessions: count(status.sessions.len()),
            kept: count(status.kept),
            labels: config.labels.clone(),
            resources: config.resources.clone(),
            holds: status.components,
        }
    }
}
