//! What a flow component may ask of its host (world `flow`, interface `futures`): the seam between
//! the sandbox, which runs the flow's instance, and whatever makes its calls and keeps its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sandmill_wire::{End, Outcome, RunId, Value};
use serde::{Deserialize, Serialize};

use crate::{CachePolicy, RetryPolicy, State};

/// Names a run among those that a flow called: the number of the command that called it, from 0 in
/// the order of commands, and the position in its map. The same each time the flow is taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FutureKey {
    /// The number of the command.
    pub command: u32,
    /// Position in the map; none for a single call.
    pub index: Option<u64>,
}

/// What a flow calls, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowTarget {
    /// The name of the component, as the flow's run knows it; none for the flow's own.
    pub component: Option<String>,
    /// The task or flow in it.
    pub task: String,
    /// What the call said besides.
    pub options: FlowCallOptions,
}

/// What a call of a flow may say besides its arguments. Limits and grants beyond these are those
/// of the flow's run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowCallOptions {
    /// A name for people in place of the task's.
    pub name: Option<String>,
    /// When the run is tried again.
    pub retries: Option<RetryPolicy>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How long the call may wait for a slot.
    pub queue_timeout: Option<Duration>,
    /// Bytes of memory of an attempt.
    pub memory: Option<u64>,
    /// Whether the result may be taken from an earlier run.
    pub cache: Option<CachePolicy>,
    /// Words for whoever looks for the run later.
    pub tags: BTreeSet<String>,
    /// Labels that a host must carry.
    pub labels: BTreeSet<String>,
    /// Amounts that a host must have free.
    pub resources: BTreeMap<String, f64>,
    /// Whether the run goes on when the flow lets go of it.
    pub detach: bool,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowArgument {
    /// This value.
    Value(Value),
    /// The result of this run.
    Result(FutureKey),
    /// The array of all results of this command's map.
    Results(u32),
}

/// The values of a parameter over a map.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowElements {
    /// The elements of this array.
    Values(Value),
    /// The elements of the array that this run returns.
    Result(FutureKey),
    /// The results of this command's map, one by one.
    Results(u32),
}

/// When a wait for several runs is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowReturnWhen {
    /// All have ended.
    All,
    /// One has ended.
    First,
    /// One has ended without a value, or all have ended.
    FirstError,
}

/// What watching several runs brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowNext {
    /// This one has ended; it came from the watched thing of that number.
    Completed {
        /// The run.
        key: FutureKey,
        /// The number of the watched thing, in the order in which they were added.
        source: u32,
    },
    /// All have come.
    Exhausted,
    /// The time was over first.
    Timeout {
        /// How many have not come.
        unfinished: u64,
        /// Of how many.
        total: u64,
    },
}

/// What a set of runs that a flow watches is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowWatched {
    /// One run.
    One(FutureKey),
    /// All runs of a command's map.
    All(u32),
}

/// What a run has come to, when it has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowEnd {
    /// The run.
    pub run: RunId,
    /// Its name.
    pub name: Arc<str>,
    /// Its final state.
    pub state: State,
    /// How it ended.
    pub outcome: Outcome,
}

/// Makes the calls of one flow component's run. Its methods are called from the thread on which
/// the flow's instance runs, one at a time, and may block it.
///
/// Handles are counted: a command, [`FlowCalls::hold`] and each [`FlowNext::Completed`] give the
/// flow one handle more, [`FlowCalls::let_go`] takes one.
///
/// # Errors
/// Every method may give the end of the flow instead: that it is cancelled, that its time is over,
/// that it does not do what its journal says it did. The sandbox stops the instance with that end.
pub trait FlowCalls: Send {
    /// A call; its command's number.
    fn submit(
        &mut self,
        target: FlowTarget,
        arguments: Vec<(String, FlowArgument)>,
    ) -> Result<u32, End>;

    /// A map; its command's number.
    fn map(
        &mut self,
        target: FlowTarget,
        each: Vec<(String, FlowElements)>,
        same: Vec<(String, FlowArgument)>,
    ) -> Result<u32, End>;

    /// How many runs a map has. Blocks until that is known. The inner error is why it has none.
    fn length(&mut self, command: u32) -> Result<Result<u64, Box<FlowEnd>>, End>;

    /// The id and the name of a run.
    fn identity(&mut self, key: FutureKey) -> Result<(RunId, Arc<str>), End>;

    /// Where a run stands.
    fn state(&mut self, key: FutureKey) -> Result<State, End>;

    /// Blocks until the run has ended or `timeout` is over; none when it is over first.
    fn end(
        &mut self,
        key: FutureKey,
        timeout: Option<Duration>,
    ) -> Result<Option<Box<FlowEnd>>, End>;

    /// Blocks until enough of the runs have ended or `timeout` is over: which have.
    fn wait(
        &mut self,
        keys: &[FutureKey],
        timeout: Option<Duration>,
        until: FlowReturnWhen,
    ) -> Result<Vec<bool>, End>;

    /// A new set of runs to watch; its number.
    fn watch(&mut self) -> Result<u32, End>;

    /// Adds to a set.
    fn add_watched(&mut self, set: u32, what: FlowWatched) -> Result<(), End>;

    /// Blocks until a further run of the set has ended, or this set's waits have taken `timeout`
    /// in all: time between two calls does not count. What has ended already comes whatever the
    /// timeout.
    fn next(&mut self, set: u32, timeout: Option<Duration>) -> Result<FlowNext, End>;

    /// The set is of no more use.
    fn unwatch(&mut self, set: u32);

    /// Asks a run to stop, or all runs of a map where `what` says so.
    fn cancel(&mut self, what: FlowWatched) -> Result<(), End>;

    /// The flow holds one more handle on this. `what` is of a command that was made, and an index
    /// is below the map's length.
    fn hold(&mut self, what: FlowWatched);

    /// The flow holds one handle less on this.
    fn let_go(&mut self, what: FlowWatched);

    /// Blocks for so long.
    fn sleep(&mut self, time: Duration) -> Result<(), End>;

    /// Whether the flow was taken up again and has not yet come to where it stood: what it writes
    /// to its log meanwhile was written before.
    fn is_replaying(&self) -> bool {
        false
    }
}
