//! What a flow component has asked for and what became of it: commands, their runs, what of their
//! results is kept, and what comes next. No threads and no waiting; who asks is in `calls` and
//! `script`, who may still ask is in `handles`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use sandmill_core::{Clock, FlowArgument, FlowElements, FlowEnd, FutureKey, State, TaskFuture};
use sandmill_wire::{Failure, Outcome, RunId, Value};

use super::command::{CANCELLED_UNCALLED, Command, Kept};
use super::history::FlowHistory;
use super::ids::run_id;
use super::inputs::{self, Given, Opened, Source, Varying};
use super::watch::Watch;
use crate::schedule::{Blame, Cause};
use crate::script::{Act, StageId, StageSpec};

/// Bytes of results that a flow with a journal keeps in memory; what is beyond is read back from
/// the journal when it is needed: 64 MiB.
pub const MAX_HELD_RESULT_BYTES: u64 = 64 << 20;
/// Bytes of results that a flow without a journal may have in memory: 1 GiB. Beyond, it fails.
pub const MAX_UNJOURNALED_RESULT_BYTES: u64 = 1 << 30;
/// Kind of the failure of a flow that has more results in memory than it may.
pub const RESULTS_TOO_LARGE: &str = "results-too-large";
/// Bytes of a failed run's message that are told of the runs that did not run because of it.
const MAX_BLAME_BYTES: usize = 1 << 10;
/// Kind of the failure of a run whose arguments come from results that cannot be read back.
const UNREADABLE: &str = "history-unreadable";

/// Something to be told of a command, before anything else of it.
struct Tell {
    command: u32,
    what: Told,
}

enum Told {
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
    due: VecDeque<u32>,
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
                self.commands.get_mut(&number)?.flying.insert(position, None);
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
        let recorded = self.taken_up().and_then(|history| history.ended(key).ok().flatten());
        let outcome = recorded.map_or_else(|| cause.outcome(), |(_, outcome)| outcome);
        self.end(key, outcome, None);
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

    /// The result of a run that has ended, for the arguments of another.
    fn value(&self, key: FutureKey) -> Result<Value, Cause> {
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
    fn open_due(&mut self) {
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
    fn are_there(&self, sources: &[Source], position: u64) -> bool {
        sources.iter().all(|source| match source {
            Source::Pipe(of) => {
                self.commands.get(of).is_none_or(|command| command.ended.has(position))
            }
            Source::One(_) | Source::All(_) => true,
        })
    }

    pub(super) fn make_ready(&mut self, number: u32) {
        if let Some(command) = self.commands.get_mut(&number)
            && !command.is_ready
        {
            command.is_ready = true;
            self.ready.insert((Reverse(command.depth), number));
        }
    }

    fn tell(&mut self, number: u32, what: Told) {
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
        let recorded = self.taken_up().and_then(|history| history.ended(key).ok().flatten());
        let outcome = recorded.map_or_else(|| cause.clone().outcome(), |(_, outcome)| outcome);
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
    fn count_in(&mut self, waiters: Vec<u32>) {
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
    fn finished(&mut self, number: u32) {
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

    /// Takes notice that a run was handed to an executor.
    pub(super) fn submitted(&mut self, key: FutureKey, future: &TaskFuture) {
        if let Some(command) = self.commands.get_mut(&key.command)
            && let Some(flying) = command.flying.get_mut(&key.index.unwrap_or(0))
        {
            *flying = Some(future.clone());
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

    /// Keeps how a run ended, where somebody may ask for it and it is not to be read back.
    fn keep(&mut self, number: u32, position: u64, outcome: Outcome) {
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
        // It may be on its way to the disk.
        history.sync(&sandmill_core::CancelToken::new()).map_err(unreadable)?;
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
            Some(Some(future)) => future.state(),
            Some(None) | None => State::pending(now),
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
