//! What the driver knows of a host, and how that is shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::Timestamp;
use sandmill_scheduler::{HostId, HostSpec, ResourceError, Resources};
use sandmill_transport::message::{Load, MAX_LABELS, MAX_RESOURCES, Welcome};
use tokio_util::sync::CancellationToken;

use super::super::fleet::{HostState, HostStatus};
use super::outbox::Outbox;
use crate::worker::MAX_WORKER_SLOTS;

/// A host, from when it was told of until it is removed.
pub(super) struct Host {
    pub(super) id: HostId,
    pub(super) address: String,
    pub(super) outbox: Arc<Outbox>,
    /// Ends its link.
    pub(super) stop: CancellationToken,
    pub(super) state: HostState,
    pub(super) why: Option<String>,
    /// What it said of itself last.
    pub(super) welcome: Option<Box<Welcome>>,
    /// Which connection this is; 0 before the first.
    pub(super) connection: u64,
    pub(super) is_connected: bool,
    /// Whether its last try failed for a reason that does not pass by itself: a certificate, a role, a
    /// version.
    pub(super) is_hopeless: bool,
    /// Whether the scheduler has it.
    pub(super) is_placed: bool,
    /// Whether it is to be let go of once it has nothing.
    pub(super) is_leaving: bool,
    /// When it was last heard of.
    pub(super) heard: Instant,
    pub(super) heard_at: Option<Timestamp>,
    pub(super) load: Load,
    pub(super) stale: u64,
}

impl Host {
    pub(super) fn new(id: HostId, address: String, stop: CancellationToken) -> Self {
        Self {
            id,
            address,
            outbox: Arc::default(),
            stop,
            state: HostState::Connecting,
            why: None,
            welcome: None,
            connection: 0,
            is_connected: false,
            is_hopeless: false,
            is_placed: false,
            is_leaving: false,
            heard: Instant::now(),
            heard_at: None,
            load: Load::default(),
            stale: 0,
        }
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> &str {
        self.welcome.as_ref().map_or(&self.address, |welcome| &welcome.name)
    }

    /// Begins anew for a connection.
    pub(super) fn opened(&mut self, connection: u64, welcome: Box<Welcome>) {
        self.connection = connection;
        self.is_connected = true;
        self.is_hopeless = false;
        self.state = HostState::Up;
        self.why = None;
        self.outbox.open(connection);
        self.welcome = Some(welcome);
    }

    /// What the scheduler is to know of it.
    ///
    /// # Errors
    /// When what it says of itself cannot be taken.
    pub(super) fn spec(welcome: &Welcome) -> Result<Box<HostSpec>, String> {
        if welcome.labels.len() > MAX_LABELS || welcome.resources.len() > MAX_RESOURCES {
            return Err("it has more labels or resources than a worker may have".to_owned());
        }
        let resources = Resources::from_numbers(&welcome.resources)
            .map_err(|error: ResourceError| format!("its resources are odd: {error}"))?;
        Ok(Box::new(HostSpec {
            name: welcome.name.as_str().into(),
            slots: slots_of(welcome),
            labels: welcome.labels.clone(),
            resources,
            ceiling: welcome.ceiling.clone(),
            holds: welcome.holds.clone(),
        }))
    }

    /// Whether its leases have run out.
    pub(super) fn is_overdue(&self, now: Instant, lease: Duration) -> bool {
        self.is_placed && !self.is_connected && now.saturating_duration_since(self.heard) >= lease
    }

    pub(super) fn status(&self, runs: usize, components: usize) -> HostStatus {
        let welcome = self.welcome.as_deref();
        HostStatus {
            name: self.name().to_owned(),
            address: self.address.clone(),
            state: self.state,
            why: self.why.clone(),
            program: welcome.map(|welcome| welcome.program.clone()),
            platform: welcome.map(|welcome| welcome.platform.clone()),
            slots: welcome.map_or(0, slots_of),
            runs,
            running: self.load.running,
            memory: self.load.memory,
            cpu: Duration::from_micros(self.load.cpu_micros),
            components,
            labels: welcome.map(|welcome| welcome.labels.clone()).unwrap_or_default(),
            resources: welcome.map(|welcome| welcome.resources.clone()).unwrap_or_default(),
            heard: self.heard_at,
            stale: self.stale,
        }
    }
}

/// How many runs it makes at a time: as many as it says, and no more than a worker may have.
fn slots_of(welcome: &Welcome) -> u32 {
    welcome.slots.min(u32::try_from(MAX_WORKER_SLOTS).unwrap_or(u32::MAX))
}
