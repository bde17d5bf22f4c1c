//! What a worker tells its coordinator.

use sandmill_core::{LogLine, Progress, Timestamp, Usage};
use sandmill_wire::{Digest, End, Failure};
use serde::{Deserialize, Serialize};

use super::{Goodbye, Payload, RunLease};

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It returned a value.
    Value(Payload),
    /// It failed by its author's word.
    Failure(Failure),
    /// It failed by its author's word, and the failure's details are large: the failure as a
    /// MessagePack map by field name.
    LargeFailure(Payload),
    /// It ended by the host's word.
    Ended(End),
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The run and its lease.
    pub of: RunLease,
    /// How it ended.
    pub ending: Ending,
    /// What it used.
    pub usage: Usage,
}

/// Something that a run under way said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// It got its slot.
    Started,
    /// It wrote a line.
    Log(LogLine),
    /// It said how far it has come.
    Progress(Progress),
}

/// Something that a run under way said, and when by the worker's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noted {
    /// The run and its lease.
    pub of: RunLease,
    /// When.
    pub at: Timestamp,
    /// What.
    pub note: Note,
}

/// A run that a worker gives back without having started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandBack {
    /// The run and its lease.
    pub of: RunLease,
    /// Why, for a person; none when it was asked for.
    pub why: Option<String>,
}

/// How busy a worker is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Runs in slots.
    pub running: u32,
    /// Runs that wait for one.
    pub waiting: u32,
    /// Memory of its process in bytes.
    pub memory: u64,
    /// Its processor time so far, in microseconds.
    pub cpu_micros: u64,
}

/// What a worker says to its coordinator. What a run said comes before its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FromWorker {
    /// What runs under way said.
    Notes(Vec<Noted>),
    /// Attempts that ended. Each is said again after a broken link, until it is settled.
    Ended(Vec<RunReport>),
    /// Runs given back.
    HandBack(Vec<HandBack>),
    /// A component that runs wait for; the coordinator sends it.
    Need(Digest),
    /// A component that it has now, or why it cannot be had: then what waits for it is refused.
    Holds {
        /// The component.
        digest: Digest,
        /// Why it is not taken.
        refused: Option<End>,
    },
    /// The worker is there, and so busy.
    Heartbeat(Load),
    /// It takes no new runs, ends those that it has, and leaves then.
    Draining,
    /// It goes away.
    Goodbye(Goodbye),
}
