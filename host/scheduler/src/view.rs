//! What can be seen of the scheduler's state: for displays, logs and tests.

use std::sync::Arc;
use std::time::Duration;

use crate::{HostId, LeaseId};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The host that has it.
    pub host: HostId,
    /// Its lease.
    pub lease: LeaseId,
    /// Whether it has started there.
    pub started: bool,
    /// Whether it is asked for back.
    pub recalled: bool,
}

/// A host as a display shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostView {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: Arc<str>,
    /// Runs that it makes at a time.
    pub slots: u32,
    /// Runs that it has, started or not.
    pub runs: u32,
    /// Runs that have started there.
    pub started: u32,
    /// Runs that it is asked to give back.
    pub recalled: u32,
    /// Bytes of the arguments of the runs that it has.
    pub input_bytes: u64,
    /// Components and values that it is known to hold.
    pub holds: usize,
    /// Components that are on their way to it.
    pub getting: usize,
    /// Runs that have ended there and counted.
    pub ended: u64,
    /// How long it has been silent, if it is.
    pub silent: Option<Duration>,
    /// Whether it takes nothing new.
    pub draining: bool,
    /// How long it has been there.
    pub up: Duration,
}

/// How much there is of everything, and how often things have happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hosts.
    pub hosts: usize,
    /// Hosts that take runs now.
    pub usable: usize,
    /// Slots of the hosts that take runs now.
    pub slots: usize,
    /// Of these, slots without a run.
    pub free_slots: usize,
    /// Runs that wait for a host.
    pub waiting: usize,
    /// Runs that hosts have, started or not.
    pub placed: usize,
    /// Runs that have started.
    pub started: usize,
    /// Kinds of runs that are remembered.
    pub classes: usize,
    /// Placements made.
    pub assigned: u64,
    /// Ends that counted.
    pub taken: u64,
    /// Ends that came too late.
    pub stale: u64,
    /// Hosts lost with runs or without.
    pub hosts_lost: u64,
    /// Runs that went elsewhere because their host was lost.
    pub elsewhere: u64,
    /// Runs that were given up because their host was lost.
    pub lost: u64,
    /// Runs that were asked for back.
    pub recalled: u64,
    /// Runs that came back without having started.
    pub handed_back: u64,
}
