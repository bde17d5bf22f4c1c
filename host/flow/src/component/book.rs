//! What a flow component has asked for and what became of it: commands, their runs, what of their
//! results is kept, and what comes next. No threads and no waiting; who asks is in `calls` and
//! `script`, who may still ask is in `handles`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sandmill_core::{CancelToken, Clock, FutureKey, State, TaskFuture};
use sandmill_wire::{Outcome, RunId, Value};

use super::command::{CANCELLED_UNCALLED, Command, Flying};
use super::history::FlowHistory;
use super::inputs::{Given, Source};
use super::watch::Watch;
use crate::schedule::Cause;
use crate::script::{Act, StageId, StageSpec};

/// Something to be told of a command, before anything else of it.
struct Tell {
    command: u32,
    what: Told,
}

pub(super) enum Told {
    Sized(u64),
    End(Option<u64>, Cause),
}

/// What a flow component has asked for, and what became of it.
pub(super) struct Book {
    pub(super) flow: RunId,
    pub(super) clock: Clock,
    pub(super) history: Option<Arc<dyn FlowHistory>>,
    pub(super) commands: HashMap<u32, Command>,
    next_command: u32,
    pub(super) watches: HashMap<u32, Watch>,
    /// Commands whose sources are all there.
    pub(super) due: VecDeque<u32>,
    /// Commands that have runs to hand out, deepest first.
    ready: BTreeSet<(Reverse<u32>, u32)>,
    tells: VecDeque<Tell>,
    /// The command that was told of last, so.
    told: Option<u32>,
    /// Cancels of runs under way.
    pub(super) cancels: VecDeque<(u32, Option<u64>)>,
    /// Commands to look at: whether somebody still wants their runs.
    pub(super) unheld: VecDeque<(u32, Option<u64>)>,
    /// Bytes of results in memory.
    pub(super) held_bytes: u64,
    /// Bytes of arguments that were given and not handed out.
    pub(super) given_bytes: u64,
    /// Commands that have not finished.
    pub(super) open_commands: u64,
    /// Ends of runs that were not called and are in the journal, of which the runner does not know
    /// that.
    wrote: HashSet<FutureKey>,
    /// Why the flow fails, where its host says so.
    pub(super) verdict: Option<Outcome>,
}

impl Book {
    pub(super) fn new(flow: RunId, clock: Clock, history: Option<Arc<dyn FlowHistory>>) -> Self {
        Self {
            flow,
            clock,
            history,
            commands: HashMap::new(),
            next_command: 0,
            watches: HashMap::new(),
            due: VecDeque::new(),
            ready: BTreeSet::new(),
            tells: VecDeque::new(),
            told: None,
            cancels: VecDeque::new(),
            unheld: VecDeque::new(),
            held_bytes: 0,
            given_bytes: 0,
            open_commands: 0,
            wrote: HashSet::new(),
            verdict: None,
        }
    }

    /// Takes a command; `refusal` says why its runs cannot be called. Its number, or none when
    /// there are no numbers left.
    pub(super) fn add(
        &mut self,
        spec: StageSpec,
        given: Given,
        refusal: Option<Arc<str>>,
    ) -> Option<u32> {
        let number = self.next_command;
        self.next_command = number.checked_add(1)?;
        let mut command = Command::new(spec, given);
        self.open_commands += 1;
        self.given_bytes += command.bytes;
        let sources = command.sources.clone();
        for source in &sources {
            let depth = self.wait_for(number, *source, &mut command.waiting);
            command.depth = command.depth.max(depth.saturating_add(1));
        }
        let waits = command.waiting > 0;
        self.commands.insert(number, command);
        match refusal {
            Some(why) => self.fail(number, Cause::Refused(why)),
            None if !waits => {
                self.due.push_back(number);
                self.open_due();
            }
            None => {}
        }
        Some(number)
    }

    /// Has a new command wait for a source; the source's depth.
    fn wait_for(&mut self, number: u32, source: Source, waiting: &mut usize) -> u32 {
        let (Source::One(FutureKey { command: of, .. }) | Source::All(of) | Source::Pipe(of)) =
            source;
        // Handles keep commands: a source that is not there is a fault of the caller, and the
        // command then fails when it is opened.
        let Some(from) = self.commands.get_mut(&of) else { return 0 };
        let is_there = match source {
            Source::One(key) => {
                let position = key.index.unwrap_or(0);
                *from.needs_on.entry(position).or_default() += 1;
                let is_there = from.ended.has(position);
                if !is_there {
                    from.on_run.entry(position).or_default().push(number);
                }
                is_there
            }
            Source::All(_) => {
                from.needs += 1;
                let is_there = from.is_finished();
                if !is_there {
                    from.on_all.push(number);
                }
                is_there
            }
            Source::Pipe(_) => {
                from.pipes.push(number);
                let is_there = from.total.is_some() || from.failed.is_some();
                if !is_there {
                    from.on_size.push(number);
                }
                is_there
            }
        };
        *waiting += usize::from(!is_there);
        from.depth
    }

    /// What is next to be told to the runner.
    pub(super) fn next_act(&mut self) -> Option<Act> {
        // What was told last is done with; its spec was there for whoever was told.
        if let Some(told) = self.told.take() {
            self.forget(told);
        }
        loop {
            self.look_after_unheld();
            self.open_due();
            if let Some(Tell { command, what }) = self.tells.pop_front() {
                if let Some(of) = self.commands.get_mut(&command) {
                    of.untold = of.untold.saturating_sub(1);
                }
                self.told = Some(command);
                return Some(match what {
                    Told::Sized(total) => Act::Sized { stage: command, total },
                    Told::End(index, cause) => Act::End { stage: command, index, cause },
                });
            }
            let (depth, number) = *self.ready.first()?;
            let Some(position) = self.commands.get_mut(&number).and_then(Command::take) else {
                self.ready.remove(&(depth, number));
                self.exhausted(number);
                continue;
            };
            if let Some(act) = self.hand_out(number, position) {
                return Some(act);
            }
        }
    }

    /// Nothing is left to hand out of a command, at least for now.
    fn exhausted(&mut self, number: u32) {
        let Some(command) = self.commands.get_mut(&number) else { return };
        command.is_ready = false;
        if !command.has_left() {
            self.close(number);
        }
        self.forget(number);
    }

    /// Hands out one run: the call, or its end.
    fn hand_out(&mut self, number: u32, position: u64) -> Option<Act> {
        let command = self.commands.get(&number)?;
        let index = command.index(position);
        let (pipes, over) = (command.sources.clone(), command.cut);
        let arguments = if over || !(command.spec.options.detach || self.wants(number, position)) {
            Err(Cause::NotRun(Arc::from(CANCELLED_UNCALLED)))
        } else {
            self.arguments(number, position)
        };
        // What it took of others is not needed for it any more.
        for source in pipes {
            if let Source::Pipe(of) = source {
                self.unheld.push_back((of, Some(position)));
            }
        }
        match arguments {
            Ok(arguments) => {
                self.commands.get_mut(&number)?.flying.insert(position, Flying::default());
                Some(Act::Run { stage: number, index, arguments })
            }
            Err(cause) => {
                // A run that is cancelled may have ended before the flow was taken up again.
                self.end_uncalled(number, position, cause.clone());
                Some(Act::End { stage: number, index, cause })
            }
        }
    }

    /// Ends a run that is not called.
    pub(super) fn end_uncalled(&mut self, number: u32, position: u64, cause: Cause) {
        let Some(command) = self.commands.get(&number) else { return };
        let key = FutureKey { command: number, index: command.index(position) };
        self.blame(number, position, &cause);
        let outcome = self.write_uncalled(key, cause);
        self.end(key, outcome, None);
    }

    /// How a run ended that is not called: as the journal says of a flow that was taken up, or so,
    /// and then that goes to the journal. Before the flow can be told of it: a flow that was told
    /// what is not in its journal could be told something else when it is taken up.
    fn write_uncalled(&mut self, key: FutureKey, cause: Cause) -> Outcome {
        let recorded = self.taken_up().and_then(|history| history.ended(key).ok().flatten());
        if let Some((_, outcome)) = recorded {
            return outcome;
        }
        let outcome = cause.outcome();
        if let Some(history) = &self.history
            && !history.is_unreadable()
        {
            let state = State::from_outcome(&outcome, self.clock.now());
            let (run, name) = self.identity(key);
            if history.uncalled(key, run, &name, &state, &outcome) {
                self.wrote.insert(key);
            }
        }
        outcome
    }

    /// Whether the end of a run that was not called is in the journal already. Once.
    pub(super) fn wrote(&mut self, key: FutureKey) -> bool {
        self.wrote.remove(&key)
    }

    /// Remembers why a run does not run, for those that take its result.
    fn blame(&mut self, number: u32, position: u64, cause: &Cause) {
        if let Cause::Upstream(blame) = cause
            && let Some(command) = self.commands.get_mut(&number)
        {
            command.blames.insert(position, Arc::clone(blame));
        }
    }

    fn taken_up(&self) -> Option<&Arc<dyn FlowHistory>> {
        self.history.as_ref().filter(|history| history.is_taken_up())
    }

    fn arguments(&mut self, number: u32, position: u64) -> Result<Value, Cause> {
        let command = self.commands.get_mut(&number);
        let opened = command.and_then(|command| command.opened.take());
        let Some(mut opened) = opened else {
            return Err(Cause::Refused(Arc::from("its arguments are not there")));
        };
        let arguments = opened
            .arguments(position, |of| self.value(FutureKey { command: of, index: Some(position) }));
        if let Some(command) = self.commands.get_mut(&number) {
            command.opened = Some(opened);
        }
        arguments
    }

    pub(super) fn make_ready(&mut self, number: u32) {
        if let Some(command) = self.commands.get_mut(&number)
            && !command.is_ready
        {
            command.is_ready = true;
            self.ready.insert((Reverse(command.depth), number));
        }
    }

    pub(super) fn tell(&mut self, number: u32, what: Told) {
        if let Some(command) = self.commands.get_mut(&number) {
            command.untold += 1;
        }
        self.tells.push_back(Tell { command: number, what });
    }

    /// Ends a command that never had runs.
    pub(super) fn fail(&mut self, number: u32, cause: Cause) {
        self.release_sources(number, false);
        let Some(command) = self.commands.get_mut(&number) else { return };
        command.cut = true;
        if !command.spec.mapped {
            command.hand(0);
            self.tell(number, Told::End(None, cause.clone()));
            self.end_uncalled(number, 0, cause);
            return self.close(number);
        }
        if command.failed.is_some() {
            return;
        }
        self.blame(number, 0, &cause);
        let key = FutureKey { command: number, index: None };
        let outcome = self.write_uncalled(key, cause.clone());
        if let Some(command) = self.commands.get_mut(&number) {
            command.failed = Some(outcome);
            let waiters = std::mem::take(&mut command.on_size);
            self.count_in(waiters);
        }
        self.tell(number, Told::End(None, cause));
        self.finished(number);
        self.close(number);
    }

    /// Counts one source less for each of them.
    pub(super) fn count_in(&mut self, waiters: Vec<u32>) {
        for waiter in waiters {
            if let Some(command) = self.commands.get_mut(&waiter) {
                command.waiting = command.waiting.saturating_sub(1);
                if command.waiting == 0 {
                    self.due.push_back(waiter);
                }
            }
        }
    }

    /// Ends a run that was not handed out, and will not be.
    pub(super) fn end_early(&mut self, number: u32, position: u64) {
        let Some(index) = self.commands.get(&number).map(|command| command.index(position)) else {
            return;
        };
        let cause = Cause::NotRun(Arc::from(CANCELLED_UNCALLED));
        self.tell(number, Told::End(index, cause.clone()));
        self.end_uncalled(number, position, cause);
    }

    /// Whether there is something for the runner.
    pub(super) fn has_news(&self) -> bool {
        !(self.cancels.is_empty()
            && self.tells.is_empty()
            && self.ready.is_empty()
            && self.due.is_empty()
            && self.unheld.is_empty())
    }

    /// Everything of a command has ended.
    pub(super) fn finished(&mut self, number: u32) {
        let Some(command) = self.commands.get_mut(&number) else { return };
        if std::mem::replace(&mut command.was_finished, true) {
            return;
        }
        let waiters = std::mem::take(&mut command.on_all);
        self.open_commands = self.open_commands.saturating_sub(1);
        self.count_in(waiters);
    }

    /// Nothing of a command is handed out any more: what it was given is let go of.
    pub(super) fn close(&mut self, number: u32) {
        self.release_sources(number, false);
        let Some(command) = self.commands.get_mut(&number) else { return };
        self.given_bytes = self.given_bytes.saturating_sub(std::mem::take(&mut command.bytes));
        command.given = Given::default();
        command.opened = None;
        command.due = VecDeque::new();
    }

    /// What cancels a run that an executor is about to be handed.
    pub(super) fn calling(&mut self, key: FutureKey, cancel: CancelToken) {
        if let Some(command) = self.commands.get_mut(&key.command)
            && let Some(flying) = command.flying.get_mut(&key.index.unwrap_or(0))
        {
            if flying.asked {
                cancel.cancel();
            }
            flying.cancel = Some(cancel);
        }
    }

    /// Takes notice that a run was handed to an executor.
    pub(super) fn submitted(&mut self, key: FutureKey, future: &TaskFuture) {
        if let Some(command) = self.commands.get_mut(&key.command)
            && let Some(flying) = command.flying.get_mut(&key.index.unwrap_or(0))
        {
            flying.future = Some(future.clone());
        }
    }

    /// Takes notice that a run has ended; the second time it does nothing.
    pub(super) fn end(&mut self, key: FutureKey, outcome: Outcome, state: Option<&State>) {
        let (number, position) = (key.command, key.index.unwrap_or(0));
        let Some(command) = self.commands.get_mut(&number) else { return };
        command.flying.remove(&position);
        if command.ended.has(position) {
            return;
        }
        command.ended.set(position);
        command.ended_count += 1;
        if !(outcome.is_success() || outcome.is_skip()) {
            command.unsuccessful.set(position);
        }
        if let Some(state) = state
            && state.name != State::from_outcome(&outcome, state.at).name
        {
            command.odd_states.insert(position, state.clone());
        }
        let waiters = command.on_run.remove(&position).unwrap_or_default();
        let (pipes, watchers) = (command.pipes.clone(), command.watchers.clone());
        let is_last = command.is_finished();
        for watcher in watchers {
            if let Some(watch) = self.watches.get_mut(&watcher) {
                watch.on_end(number, position, key.index);
            }
        }
        self.keep(number, position, outcome);
        self.count_in(waiters);
        for pipe in pipes {
            let Some(to) = self.commands.get(&pipe) else { continue };
            if to.opened.is_some() && self.are_there(&to.sources, position) {
                if let Some(to) = self.commands.get_mut(&pipe) {
                    to.due.push_back(position);
                }
                self.make_ready(pipe);
            }
        }
        if is_last {
            self.finished(number);
        }
        self.forget(number);
    }

    /// What the runs of a stage have in common.
    pub(super) fn spec(&self, stage: StageId) -> Option<&StageSpec> {
        self.commands.get(&stage).map(|command| &command.spec)
    }

    /// Whether nothing can be handed out any more, whatever ends.
    pub(super) fn is_handed_out(&self) -> bool {
        self.tells.is_empty() && self.commands.values().all(|command| !command.has_left())
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
