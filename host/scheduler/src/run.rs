//! One run as the scheduler knows it.

use std::time::Instant;

use crate::{HeldInputs, HostId, LeaseId};

/// A run that waits or is somewhere.
pub(crate) struct Run {
    /// Its class, by index.
    pub(crate) class: u32,
    /// Its place in the order in which runs came. It keeps it when it comes back.
    pub(crate) stamp: u64,
    /// When it came.
    pub(crate) since: Instant,
    pub(crate) input_bytes: u64,
    pub(crate) inputs: Option<HeldInputs>,
    /// How many hosts were lost while it had a slot there, or could have had one.
    pub(crate) hosts_lost: u32,
    /// Nobody wants it any more; it still has its place at its host.
    pub(crate) withdrawn: bool,
    /// Its time to be started is over: it leaves when it comes back, unless it has started.
    pub(crate) expired: bool,
    /// Where it is; none while it waits.
    pub(crate) at: Option<At>,
}

/// Where a run is.
#[derive(Clone, Copy)]
pub(crate) struct At {
    /// The host, by index.
    pub(crate) host: u32,
    pub(crate) lease: LeaseId,
    pub(crate) started: bool,
    /// Whether it is asked for back.
    pub(crate) recalled: bool,
    /// The idle host that it is asked for back for.
    pub(crate) wanted_by: Option<HostId>,
}
