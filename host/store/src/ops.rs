//! What a flow tells the writer, as it travels in the queue. How it is written is not here.

use std::sync::Arc;

use sandmill_core::{AttemptEnd, State, Timestamp};
use sandmill_wire::{Outcome, RunId};

use crate::record::{RunEnd, RunKey, StageRecord};

/// One thing that happened in a flow.
pub(crate) enum Record {
    FlowState(State),
    Stage(Box<StageRecord>),
    Run {
        key: RunKey,
        run: RunId,
        change: Change,
    },
    Step {
        seq: u64,
        body: Vec<u8>,
    },
    Note {
        at: Timestamp,
        kind: String,
        message: String,
    },
    FlowEnded(Box<(State, Outcome)>),
    /// Whoever ran the flow let go of it.
    LetGo(Timestamp),
}

/// One thing that happened to a run.
pub(crate) enum Change {
    Submitted { name: Arc<str>, arguments: [u8; 16], at: Timestamp },
    State(State),
    Attempt(Box<AttemptEnd>),
    Ended(Box<RunEnd>),
    Interrupted { at: Timestamp, why: Arc<str> },
}

impl Record {
    /// About how many bytes it holds on to.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Run { change: Change::Ended(end), .. } => weight(&end.outcome),
            Self::FlowEnded(end) => weight(&end.1),
            Self::Step { body, .. } => body.len(),
            Self::Note { message, .. } => message.len(),
            _ => 0,
        }
    }
}

fn weight(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Value(value) => value.len_bytes(),
        Outcome::Failure(failure) => {
            failure.message.len() + failure.details.as_ref().map_or(0, |it| it.len_bytes())
        }
        Outcome::Ended(end) => {
            end.message.len() + end.backtrace.iter().map(String::len).sum::<usize>()
        }
    }
}
