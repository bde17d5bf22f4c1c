//! What a flow component's run needs of its journal: to write down its steps, and to read them and
//! the ends of its runs when it is taken up. What a step is, is in `step`.

use std::sync::Arc;
use std::task::{Context, Poll};

use sandmill_core::{CancelToken, FutureKey, State, Usage};
use sandmill_store::{Journal, Recorded, RunEnd, RunKey};
use sandmill_wire::{Outcome, RunId};

/// What stands for the digest of arguments that were never made.
const UNCALLED: [u8; 16] = [0; 16];

/// The journal of one flow component's run. Errors are words for people.
pub trait FlowHistory: Send + Sync {
    /// Whether the flow run was begun before.
    fn is_taken_up(&self) -> bool;

    /// Writes down a step. Does not wait.
    fn step(&self, number: u64, body: Vec<u8>);

    /// The steps from this number on, no more than `limit`.
    ///
    /// # Errors
    /// They cannot be read.
    fn steps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, String>;

    /// How a run ended; none when that was not written down, or cannot be read before it is on
    /// disk.
    ///
    /// # Errors
    /// It cannot be read, or what was written is damaged.
    fn ended(&self, key: FutureKey) -> Result<Option<(RunId, Outcome)>, String>;

    /// Whether a read failed that may work later: the flow is about to be left as it is, and no run
    /// ends because of it.
    fn is_unreadable(&self) -> bool {
        false
    }

    /// Writes down that a run ended without being called. Does not wait. False: the runner has to.
    fn uncalled(
        &self,
        _key: FutureKey,
        _run: RunId,
        _name: &Arc<str>,
        _end: &State,
        _outcome: &Outcome,
    ) -> bool {
        false
    }

    /// Waits until everything that was written so far is on disk.
    ///
    /// # Errors
    /// That will not be, or the wait was cancelled.
    fn sync(&self, cancel: &CancelToken) -> Result<(), String>;

    /// Pending while so much waits to be written that the flow should wait.
    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()>;
}

impl FlowHistory for Journal {
    fn is_taken_up(&self) -> bool {
        Self::is_taken_up(self)
    }

    fn step(&self, number: u64, body: Vec<u8>) {
        Self::step(self, number, body);
    }

    fn steps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, String> {
        Self::steps(self, from, limit).map_err(|error| error.to_string())
    }

    fn ended(&self, key: FutureKey) -> Result<Option<(RunId, Outcome)>, String> {
        let key = RunKey { stage: key.command, index: key.index };
        // On its way to the disk, which may be full.
        if let Some(end) = self.ended_lately(key) {
            return Ok(Some(end));
        }
        match self.recorded(key).map_err(|error| error.to_string())? {
            Some(Recorded::Ended { run, outcome, .. }) => Ok(Some((run, outcome))),
            Some(Recorded::Corrupt { what, .. }) => Err(format!("it is damaged: {what}")),
            Some(Recorded::Unfinished { .. }) | None => Ok(None),
        }
    }

    fn is_unreadable(&self) -> bool {
        self.unreadable().is_some()
    }

    fn uncalled(
        &self,
        key: FutureKey,
        run: RunId,
        name: &Arc<str>,
        end: &State,
        outcome: &Outcome,
    ) -> bool {
        let key = RunKey { stage: key.command, index: key.index };
        self.submitted(key, run, name, UNCALLED, end.at);
        let end = RunEnd {
            state: end.clone(),
            outcome: outcome.clone(),
            usage: Usage::default(),
            attempts: 0,
            value_of: None,
            cache: None,
        };
        Self::ended(self, key, run, end);
        true
    }

    fn sync(&self, cancel: &CancelToken) -> Result<(), String> {
        Self::sync(self, Some(cancel)).map_err(|error| error.to_string())
    }

    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        Self::poll_room(self, context)
    }
}
