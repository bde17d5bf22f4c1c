//! Puts together the arguments of a flow component's commands, when the results that they take are
//! there. What the parts are is in `inputs`.

use std::collections::VecDeque;
use std::sync::Arc;

use sandmill_core::{FlowArgument, FlowElements, FutureKey, State};
use sandmill_wire::{Failure, Outcome, Value};

use super::book::{Book, Told};
use super::command::Command;
use super::ids::run_id;
use super::inputs::{self, Given, Opened, Source, Varying};
use crate::schedule::{Blame, Cause};

/// Bytes of a failed run's message that are told of the runs that did not run because of it.
const MAX_BLAME_BYTES: usize = 1 << 10;
/// Kind of the failure of a run whose arguments come from results that cannot be read back.
const UNREADABLE: &str = "history-unreadable";

impl Book {
    /// The result of a run that has ended, for the arguments of another.
    pub(super) fn value(&self, key: FutureKey) -> Result<Value, Cause> {
        match self.outcome(key).map_err(|what| Cause::Inputs(Failure::new(UNREADABLE, what)))? {
            Outcome::Value(value) => Ok(value),
            outcome => Err(self.cause(key, &outcome)),
        }
    }

    /// Why a run that takes this result does not run.
    fn cause(&self, key: FutureKey, outcome: &Outcome) -> Cause {
        let name = match self.commands.get(&key.command) {
            Some(command) => command.name(key.index),
            None => Arc::from(format!("command {}", key.command)),
        };
        if outcome.is_skip() {
            return Cause::Skipped(Arc::from(format!(
                "`{name}`, whose result it takes, was skipped"
            )));
        }
        // Who is to blame is where it began, however long the way from there.
        let command = self.commands.get(&key.command);
        if let Some(blame) = command.and_then(|of| of.blames.get(&key.index.unwrap_or(0))) {
            return Cause::Upstream(Arc::clone(blame));
        }
        let mut state = State::from_outcome(outcome, self.clock.now());
        state.message = state.message.map(|message| {
            let end = message.floor_char_boundary(MAX_BLAME_BYTES);
            Arc::from(&message[..end])
        });
        let run = run_id(self.flow, key.command, key.index);
        Cause::Upstream(Arc::new(Blame::new(name, Some(run), &state)))
    }

    /// Opens commands whose sources are there.
    pub(super) fn open_due(&mut self) {
        while let Some(number) = self.due.pop_front() {
            let Some(command) = self.commands.get_mut(&number) else { continue };
            if command.cut || command.opened.is_some() || command.failed.is_some() {
                continue;
            }
            let given = std::mem::take(&mut command.given);
            let opened = self.gather(number, &given);
            // What was needed at once is let go of; what comes one by one is needed still.
            self.release_sources(number, true);
            match opened {
                Ok(opened) => self.opened(number, opened),
                Err(cause) => self.fail(number, cause),
            }
        }
    }

    fn gather(&self, number: u32, given: &Given) -> Result<Opened, Cause> {
        let Some(command) = self.commands.get(&number) else {
            return Err(Cause::Refused(Arc::from("it is not there")));
        };
        let limit = command.spec.options.limits.input;
        let piped = command.is_piped();
        let mut same = Vec::with_capacity(given.same.len());
        for (name, argument) in &given.same {
            let value = match argument {
                FlowArgument::Value(value) => value.clone(),
                FlowArgument::Result(key) => self.value(*key)?,
                FlowArgument::Results(of) => self.all_results(*of, limit)?,
            };
            same.push((name.clone(), value));
        }
        let mut varying = Vec::with_capacity(given.each.len());
        for (name, elements) in &given.each {
            let (from, length) = match elements {
                FlowElements::Values(value) => inputs::elements(name, value, piped)?,
                FlowElements::Result(key) => inputs::elements(name, &self.value(*key)?, piped)?,
                FlowElements::Results(of) => (Varying::Pipe(*of), self.length_for(*of)?),
            };
            varying.push((name.clone(), from, length));
        }
        inputs::open(&same, varying, command.spec.mapped, limit)
    }

    /// How many results a command has, for one that takes them.
    fn length_for(&self, of: u32) -> Result<u64, Cause> {
        let command = self.commands.get(&of);
        if let Some(failed) = command.and_then(|command| command.failed.as_ref()) {
            return Err(self.cause(FutureKey { command: of, index: None }, failed));
        }
        let total = command.and_then(|command| command.total);
        total.ok_or_else(|| Cause::Refused(Arc::from("the runs that it takes from are not there")))
    }

    /// The array of all results of a command.
    fn all_results(&self, of: u32, limit: u64) -> Result<Value, Cause> {
        let total = self.length_for(of)?;
        let mut values = Vec::new();
        let mut bytes = 0_u64;
        for position in 0..total {
            let index = self.commands.get(&of).and_then(|command| command.index(position));
            let value = self.value(FutureKey { command: of, index })?;
            // Before they are all in memory.
            bytes = bytes.saturating_add(value.len_bytes() as u64);
            if bytes > limit {
                return Err(inputs::too_large(format!(
                    "the results of command {of} have more than {limit} bytes together"
                )));
            }
            values.push(value);
        }
        Value::array_within(&values, &inputs::bounds(limit)).map_err(inputs::too_large)
    }

    fn opened(&mut self, number: u32, opened: Opened) {
        let total = opened.total;
        self.sized(number, total);
        let Some(command) = self.commands.get_mut(&number) else { return };
        command.opened = Some(Box::new(opened));
        // Runs of others that have ended already are there for its own.
        let Some(command) = self.commands.get(&number) else { return };
        if command.is_piped() {
            let sources = command.sources.clone();
            let due: VecDeque<u64> =
                (0..total).filter(|position| self.are_there(&sources, *position)).collect();
            if let Some(command) = self.commands.get_mut(&number) {
                command.due = due;
            }
        }
        // Some may have ended before: that is how the flow was told of them.
        if self.commands.get(&number).is_some_and(Command::is_finished) {
            self.finished(number);
        }
        self.make_ready(number);
    }

    /// Takes notice of how many runs a command has: when it is opened, or before that, because the
    /// flow was told so before it was taken up again.
    pub(super) fn sized(&mut self, number: u32, total: u64) {
        let Some(command) = self.commands.get_mut(&number) else { return };
        if command.total.is_some() || command.failed.is_some() {
            return;
        }
        command.total = Some(total);
        let waiters = std::mem::take(&mut command.on_size);
        self.tell(number, Told::Sized(total));
        self.count_in(waiters);
    }

    /// Whether what a piped run takes has ended.
    pub(super) fn are_there(&self, sources: &[Source], position: u64) -> bool {
        sources.iter().all(|source| match source {
            Source::Pipe(of) => {
                self.commands.get(of).is_none_or(|command| command.ended.has(position))
            }
            Source::One(_) | Source::All(_) => true,
        })
    }
}
