//! What a schedule says is next, and what it is told.

use std::sync::Arc;

use sandmill_wire::{End, EndKind, Failure, Outcome, Value};

use super::blame::Blame;
use crate::plan::NodeId;

/// What is next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The mapped task `node` will have this many runs. Nothing needs to be done.
    Mapped {
        /// The task.
        node: NodeId,
        /// How many runs it will have.
        total: u64,
    },
    /// Make this call, and say how it ended with [`super::Schedule::on_done`].
    Run {
        /// The task.
        node: NodeId,
        /// Position in the map; none for a task that is not mapped.
        index: Option<u64>,
        /// The argument map.
        arguments: Value,
    },
    /// This run has ended without being called. It is counted already: there is nothing to say of
    /// it to the schedule.
    End {
        /// The task.
        node: NodeId,
        /// Position in the map; none for a task that is not mapped. Without a position, a mapped
        /// task's end stands for all its runs, because how many they would be cannot be known, or
        /// for all that were not handed out and never will be.
        index: Option<u64>,
        /// Why.
        cause: Cause,
    },
    /// Cancel what is under way of this task: of one run of it, or of all. Each ends through
    /// [`super::Schedule::on_done`] as ever.
    Cancel {
        /// The task.
        node: NodeId,
        /// Which run of it; none for all.
        index: Option<u64>,
    },
}

/// Why a run ended without being called.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// Something that it depends on did not complete.
    Upstream(Arc<Blame>),
    /// Its trigger does not hold, or what it cannot do without is not there: in words.
    Unmet(Arc<str>),
    /// Its arguments could not be made of the results they come from.
    Inputs(Failure),
    /// It is skipped, for this reason.
    Skipped(Arc<str>),
    /// It cannot be called: there is no such task, say.
    Refused(Arc<str>),
    /// It is not started any more: too many others failed, or the flow stops.
    NotRun(Arc<str>),
}

impl Cause {
    /// The outcome of a run that ended for this reason.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        let (kind, why) = match self {
            Self::Inputs(failure) => return Outcome::Failure(failure),
            Self::Upstream(blame) => (EndKind::UpstreamFailed, format!("it depends on {blame}")),
            Self::Unmet(why) => (EndKind::UpstreamFailed, why.to_string()),
            Self::Refused(why) => (EndKind::Refused, why.to_string()),
            Self::Skipped(why) => (EndKind::Skipped, why.to_string()),
            Self::NotRun(why) => (EndKind::Cancelled, why.to_string()),
        };
        End::new(kind, why).into()
    }
}

/// How a call ended, as far as a schedule cares.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It returned this value.
    Value(Value),
    /// It was skipped: by its own word, or by the schedule's.
    Skipped,
    /// It did not complete.
    Failed(Blame),
}

/// What the whole flow comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    /// It completed with this value.
    Value(Value),
    /// It failed.
    Failed(Failure),
}
