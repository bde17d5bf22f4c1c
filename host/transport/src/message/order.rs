//! What a coordinator asks of a worker.

use std::time::Duration;

use sandmill_core::{Grants, Limits, TraceContext};
use sandmill_wire::{Digest, RunId};
use serde::{Deserialize, Serialize};

use super::{Goodbye, Payload};

/// One placement of a run at one worker. A later placement of the same run has a larger number,
/// also when it is made by another process that took the run over; what comes under any but the
/// latest is not taken.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

/// A run under one of its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunLease {
    /// The run.
    pub run: RunId,
    /// The lease.
    pub lease: LeaseId,
}

/// What the runs of one stage have in common; said once a link, before the first of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The number by which orders name it, on this link.
    pub id: u32,
    /// The component.
    pub component: Digest,
    /// Its size in bytes, so that one that is too large is refused before it is sent.
    pub size: u64,
    /// The task.
    pub task: String,
    /// The name of the stage, for people.
    pub stage: String,
    /// The flow run that the runs are part of.
    pub parent: Option<RunId>,
    /// What a run may use.
    pub limits: Limits,
    /// What a run may reach.
    pub grants: Grants,
    /// The trace that the runs are part of, where it is not that of the flow run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// One attempt at one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The run.
    pub run: RunId,
    /// The lease under which it is made.
    pub lease: LeaseId,
    /// What it has in common with others.
    pub spec: u32,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// One MessagePack map by parameter name.
    pub arguments: Payload,
    /// Position in a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// How long from now until the run has to have ended: hosts' clocks may differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_left: Option<Duration>,
}

/// What a coordinator says to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ToWorker {
    /// What the orders that follow refer to.
    Specs(Vec<Spec>),
    /// Runs to make.
    Orders(Vec<Order>),
    /// Runs to stop. The worker answers each with how it ended.
    Cancel(Vec<RunLease>),
    /// Runs to give back where they have not started: another worker is idle.
    Recall(Vec<RunLease>),
    /// Outcomes that were taken: the worker may forget them.
    Settled(Vec<RunLease>),
    /// The coordinator is there.
    Heartbeat,
    /// The coordinator goes away for good: what it gave is cancelled.
    Goodbye(Goodbye),
}
