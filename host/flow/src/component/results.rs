//! How the runs of a flow component ended: what of it is in memory, and what is read back from the
//! journal when it is asked for.

use std::sync::Arc;

use sandmill_core::{CancelToken, FlowEnd, FutureKey, State};
use sandmill_wire::{Failure, Outcome, RunId};

use super::book::Book;
use super::command::{Flying, Kept};
use super::ids::run_id;

/// Bytes of results that a flow with a journal keeps in memory; what is beyond is read back from
/// the journal when it is needed: 64 MiB.
pub const MAX_HELD_RESULT_BYTES: u64 = 64 << 20;
/// Bytes of results that a flow without a journal may have in memory: 1 GiB. Beyond, it fails.
pub const MAX_UNJOURNALED_RESULT_BYTES: u64 = 1 << 30;
/// Kind of the failure of a flow that has more results in memory than it may.
pub const RESULTS_TOO_LARGE: &str = "results-too-large";

impl Book {
    /// Keeps how a run ended, where somebody may ask for it and it is not to be read back.
    pub(super) fn keep(&mut self, number: u32, position: u64, outcome: Outcome) {
        if !self.wants(number, position) {
            return;
        }
        let kept = Kept::new(outcome);
        let bytes = kept.bytes();
        let limit = match self.history {
            Some(_) => MAX_HELD_RESULT_BYTES,
            None => MAX_UNJOURNALED_RESULT_BYTES,
        };
        if self.held_bytes.saturating_add(bytes) > limit {
            if self.history.is_none() && self.verdict.is_none() {
                let what = format!(
                    "the flow has more than {} of results in memory: let it drop what it has read, \
                     or run it with a history, where results can be read back",
                    sandmill_core::units::format_size(limit)
                );
                self.verdict = Some(Outcome::Failure(Failure::new(RESULTS_TOO_LARGE, what)));
            }
            return;
        }
        self.held_bytes += bytes;
        if let Some(command) = self.commands.get_mut(&number) {
            command.kept.insert(position, kept);
        }
    }

    /// Lets go of how a run ended.
    pub(super) fn drop_kept(&mut self, number: u32, position: u64) {
        if let Some(command) = self.commands.get_mut(&number) {
            command.odd_states.remove(&position);
            command.blames.remove(&position);
            if let Some(kept) = command.kept.remove(&position) {
                self.held_bytes = self.held_bytes.saturating_sub(kept.bytes());
            }
        }
    }

    /// Takes a result out of memory that was told, where it can be read back.
    pub(super) fn was_told(&mut self, key: FutureKey) {
        let position = key.index.unwrap_or(0);
        let Some(command) = self.commands.get_mut(&key.command) else { return };
        let is_value = matches!(command.kept.get(&position), Some(Kept::Value(_)));
        let is_needed = command.needs > 0
            || command.needs_on.contains_key(&position)
            || !command.pipes.is_empty();
        if self.history.is_some() && is_value && !is_needed {
            let kept = command.kept.remove(&position);
            self.held_bytes = self.held_bytes.saturating_sub(kept.map_or(0, |kept| kept.bytes()));
        }
    }

    /// How a run ended that has.
    ///
    /// # Errors
    /// It cannot be read back, in words.
    pub(super) fn outcome(&self, key: FutureKey) -> Result<Outcome, String> {
        let command = self.commands.get(&key.command);
        if let Some(kept) = command.and_then(|command| command.kept.get(&key.index.unwrap_or(0))) {
            return Ok(kept.outcome());
        }
        let Some(history) = &self.history else {
            return Err("the result of a run was let go of and asked for again".to_owned());
        };
        let unreadable = |error| format!("a result cannot be read back: {error}");
        if let Some((_, outcome)) = history.ended(key).map_err(unreadable)? {
            return Ok(outcome);
        }
        // It may be on its way to the disk. Room on a full one is not waited for: who would cancel
        // the flow meanwhile is not heard.
        let at_once = CancelToken::new();
        at_once.cancel();
        history.sync(&at_once).map_err(unreadable)?;
        match history.ended(key).map_err(unreadable)? {
            Some((_, outcome)) => Ok(outcome),
            None => Err("the result of a run that has ended is not in the history".to_owned()),
        }
    }

    /// Whether a run has ended.
    pub(super) fn has_ended(&self, key: FutureKey) -> bool {
        let command = self.commands.get(&key.command);
        command.is_some_and(|command| command.ended.has(key.index.unwrap_or(0)))
    }

    /// Where a run stands.
    ///
    /// # Errors
    /// As [`Book::outcome`].
    pub(super) fn state(&self, key: FutureKey) -> Result<State, String> {
        let now = self.clock.now();
        let position = key.index.unwrap_or(0);
        let Some(command) = self.commands.get(&key.command) else {
            return Ok(State::pending(now));
        };
        if command.ended.has(position) {
            if let Some(state) = command.odd_states.get(&position) {
                return Ok(state.clone());
            }
            return self.outcome(key).map(|outcome| State::from_outcome(&outcome, now));
        }
        let state = match command.flying.get(&position) {
            Some(Flying { future: Some(future), .. }) => future.state(),
            Some(_) | None => State::pending(now),
        };
        // Its end is told when everything that follows from it is known here.
        Ok(if state.is_final() { State::running(now) } else { state })
    }

    /// How a run ended that has, in full.
    ///
    /// # Errors
    /// As [`Book::outcome`].
    pub(super) fn ended(&self, key: FutureKey) -> Result<FlowEnd, String> {
        let outcome = self.outcome(key)?;
        let state = self.state(key)?;
        let (run, name) = self.identity(key);
        Ok(FlowEnd { run, name, state, outcome })
    }

    /// The id and the name of a run.
    pub(super) fn identity(&self, key: FutureKey) -> (RunId, Arc<str>) {
        let name = self.commands.get(&key.command).map(|command| command.name(key.index));
        (run_id(self.flow, key.command, key.index), name.unwrap_or_else(|| Arc::from("")))
    }
}
