//! What is written down of flows and their runs: plain data. How it is kept is not here.

use std::sync::Arc;

use sandmill_core::{State, Timestamp, Usage};
use sandmill_wire::{Digest, Outcome, RunId, Value};
use serde::{Deserialize, Serialize};

use crate::cache::NewCached;

/// Which of a flow's runs: the number of the stage in the flow, and the position in a map. Unlike
/// the run's id it is the same in every run of the same flow, so that results can be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// The stage: the position of the task in a flow file, the number of the command in a flow
    /// component.
    pub stage: u32,
    /// Position in the map; none for a run that is not of a map.
    pub index: Option<u64>,
}

/// How a flow's plan can be made again, by any process, without the files it was made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlowSource {
    /// The text of the flow file; none for a flow component.
    pub text: Option<String>,
    /// Where the flow file or the component was: relative paths in it mean what they meant then.
    pub path: String,
    /// The name of the flow in its component; none for a flow file.
    pub flow: Option<String>,
    /// The values that parameters were given, as one MessagePack map by name.
    pub parameters: Value,
    /// Every component, by the flow's name for it. The bytes are blobs of the store.
    pub components: Vec<SourceComponent>,
    /// What the command line set over the flow's own: limits, grants, executor, slots, as one JSON
    /// object that only its author reads.
    pub overrides: String,
    /// Of a flow run that is based on another: whether it uses the results of all runs that
    /// completed there, or only of those to which nothing was granted.
    #[serde(default)]
    pub reuse_completed: bool,
}

/// A component of a flow's source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceComponent {
    /// The flow's name for it.
    pub name: String,
    /// Its digest: the name of its bytes among the blobs.
    pub digest: Digest,
    /// Where it came from, for people.
    pub origin: String,
}

/// A flow run to be.
#[derive(Debug, Clone)]
pub struct NewFlow {
    /// Its id.
    pub run: RunId,
    /// The flow's name.
    pub name: Arc<str>,
    /// How to make its plan again.
    pub source: FlowSource,
    /// The flow run that it is part of, for a sub-flow.
    pub parent: Option<RunId>,
    /// The flow run whose results it uses again.
    pub based_on: Option<RunId>,
    /// No two flow runs have the same one.
    pub idempotency_key: Option<String>,
    /// Words by which it can be found.
    pub labels: Vec<String>,
}

/// What is known of a stage of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Its number in the flow.
    pub stage: u32,
    /// Its name.
    pub name: Arc<str>,
    /// The component that holds its task; none for a sub-flow or a hook that is a command.
    pub component: Option<Digest>,
    /// The task's name in the component.
    pub task: Arc<str>,
    /// Whether its runs are those of a map.
    pub mapped: bool,
    /// How many runs it will have, once that is known.
    pub total: Option<u64>,
}

/// What is known of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Its id.
    pub run: RunId,
    /// Which of the flow's runs it is.
    pub key: RunKey,
    /// Where it stands.
    pub state: State,
    /// When it was submitted, first started, and ended for good.
    pub created: Timestamp,
    /// When its first attempt started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Attempts that were started.
    pub attempts: u32,
    /// BLAKE3 of its arguments as they were sent, the first 16 bytes; zeroes when it never had any.
    pub arguments: [u8; 16],
    /// The earlier run whose value it has: from the cache, or from a flow run that was run again.
    pub value_of: Option<RunId>,
    /// What its last attempt used.
    pub usage: Usage,
}

/// What is known of one attempt at a run.
pub type AttemptRecord = sandmill_core::AttemptEnd;

/// A run that has ended, as whoever takes a flow up again needs it.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// It has ended for good: with this outcome.
    Ended {
        /// The run.
        run: RunId,
        /// Its arguments' digest (see [`RunRecord::arguments`]).
        arguments: [u8; 16],
        /// How it ended, its value included.
        outcome: Outcome,
    },
    /// It was under way: it has this id and so many attempts behind it.
    Unfinished {
        /// The run.
        run: RunId,
        /// Attempts that have ended.
        attempts: u32,
    },
    /// What is written of it is not what was once written.
    Corrupt {
        /// The run, where that much is known.
        run: Option<RunId>,
        /// Which record or file it is, for a person.
        what: String,
    },
}

/// How a run ended: state, outcome and value are written in one transaction.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// The final state.
    pub state: State,
    /// The outcome; a large value becomes a blob.
    pub outcome: Outcome,
    /// What its last attempt used.
    pub usage: Usage,
    /// Attempts that were made, in all.
    pub attempts: u32,
    /// The earlier run whose value it has.
    pub value_of: Option<RunId>,
    /// Where to keep the value for later runs of the same call. Ignored unless there is a value.
    pub cache: Option<Arc<NewCached>>,
}

/// A run of another flow run, with what it was a run of.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// The component that held its task.
    pub component: Option<Digest>,
    /// The task's name in it.
    pub task: Arc<str>,
    /// Whether it was of a map.
    pub mapped: bool,
    /// What is known of it.
    pub recorded: Recorded,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Flow runs.
    pub flows: u64,
    /// Runs of their tasks.
    pub runs: u64,
    /// Entries of the cache that had expired.
    pub cached: u64,
    /// Files that nothing names any more.
    pub blobs: u64,
    /// The bytes of these files.
    pub blob_bytes: u64,
}
