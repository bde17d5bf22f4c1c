//! The instance's side of a flow component's run: answers what the flow asks, from its journal for
//! as long as there is something in it, then from what happens. Everything that the flow is told
//! and that does not follow from what it was told before is written down first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{
    Clock, FlowArgument, FlowCalls, FlowElements, FlowEnd, FlowNext, FlowReturnWhen, FlowTarget,
    FlowWatched, FutureKey, State,
};
use sandmill_wire::{End, EndKind, Outcome, RunId};

use super::book::Book;
use super::history::FlowHistory;
use super::inputs::Given;
use super::resolve::Resolver;
use super::shared::Shared;
use super::step::{Answer, Asked, FlowStep, Print, pack, unpack};
use super::tape::Tape;
use super::watch::Watch;

/// Commands of a flow that have not ended. The flow waits with its next one while there are more.
pub const MAX_OPEN_COMMANDS: u64 = 100_000;
/// Bytes of arguments that a flow has given to calls that were not made yet: 256 MiB. It waits
/// with its next call while there are more.
pub const MAX_GIVEN_BYTES: u64 = 256 << 20;

/// Makes the calls of one run of a flow component.
pub(super) struct ComponentCalls {
    shared: Arc<Shared>,
    tape: Tape,
    history: Option<Arc<dyn FlowHistory>>,
    resolver: Resolver,
    clock: Clock,
    /// The number of the next watched set.
    sets: u32,
}

fn host_error(what: impl Into<String>) -> Outcome {
    End::new(EndKind::HostError, what).into()
}

impl ComponentCalls {
    pub(super) fn new(
        shared: Arc<Shared>,
        history: Option<Arc<dyn FlowHistory>>,
        resolver: Resolver,
        clock: Clock,
    ) -> Self {
        let mut tape = Tape::new(history.clone());
        // What is wrong with the journal is said when it is needed.
        let _known_later = tape.is_replaying();
        Self { shared, tape, history, resolver, clock, sets: 0 }
    }

    /// The recorded step that comes next.
    fn recorded(&mut self) -> Result<Option<FlowStep>, End> {
        self.shared.lock().check()?;
        self.tape.take().map_err(|outcome| self.shared.fail(outcome))
    }

    /// Ends a flow that asks for something else than it did.
    fn changed<T>(&self, recorded: &FlowStep, now: &str) -> Result<T, End> {
        Err(self.shared.fail(self.tape.changed(recorded, now)))
    }

    /// Writes down a step, when the journal has room.
    fn write(&mut self, step: &FlowStep) -> Result<(), End> {
        if let Some(history) = &self.history {
            self.shared.wait_for_room(&**history)?;
        }
        self.tape.write(step).map_err(|outcome| self.shared.fail(outcome))
    }

    /// A step that has to be the same each time, and tells the flow nothing.
    fn same(&mut self, step: &FlowStep) -> Result<(), End> {
        match self.recorded()? {
            None => self.write(step),
            Some(recorded) if recorded == *step => Ok(()),
            Some(recorded) => self.changed(&recorded, &step.to_string()),
        }
    }

    fn on_book<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut inner = self.shared.lock();
        let answer = change(&mut inner.book);
        inner.wake_runner();
        answer
    }

    /// Reads from the book; words are why the flow cannot go on.
    fn read<T>(&self, look: impl FnOnce(&mut Book) -> Result<T, String>) -> Result<T, End> {
        self.on_book(look).map_err(|what| self.shared.fail(host_error(what)))
    }

    /// Sees to it that a run has ended of which the flow was told that it had.
    fn settle(&self, key: FutureKey) -> Result<(), End> {
        if self.shared.lock().book.has_ended(key) {
            return Ok(());
        }
        let recorded = match &self.history {
            Some(history) => history.ended(key).map_err(|what| {
                let what = format!("the end of a run cannot be read back: {what}");
                self.shared.fail(host_error(what))
            })?,
            None => None,
        };
        if let Some((_, outcome)) = recorded {
            self.on_book(|book| book.end(key, outcome, None));
            return Ok(());
        }
        // Its end follows from what comes before: it is on its way.
        self.shared.wait_for(None, |book| Ok(book.has_ended(key).then_some(())))?;
        Ok(())
    }

    fn deadline(timeout: Option<Duration>) -> Option<Instant> {
        timeout.and_then(|timeout| Instant::now().checked_add(timeout))
    }

    fn command(
        &mut self,
        target: &FlowTarget,
        mapped: bool,
        each: Vec<(String, FlowElements)>,
        same: Vec<(String, FlowArgument)>,
    ) -> Result<u32, End> {
        let names: Vec<&str> = each
            .iter()
            .map(|(name, _)| &**name)
            .chain(same.iter().map(|(name, _)| &**name))
            .collect();
        let resolved = self.resolver.resolve(target, mapped, &names);
        let print = Print::new(target, resolved.digest, mapped, &each, &same);
        self.same(&FlowStep::Command(Box::new(print)))?;
        self.shared.wait_for(None, |book| {
            let is_room =
                book.open_commands < MAX_OPEN_COMMANDS && book.given_bytes < MAX_GIVEN_BYTES;
            Ok(is_room.then_some(()))
        })?;
        let given = Given { each, same };
        let number = self.on_book(|book| book.add(resolved.spec, given, resolved.refusal));
        number.ok_or_else(|| {
            self.shared.fail(host_error("the flow has made more calls than there are numbers"))
        })
    }

    /// Waits for several runs on a set that the flow does not see.
    fn wait_on(
        &self,
        set: u32,
        keys: &[FutureKey],
        until: FlowReturnWhen,
        deadline: Option<Instant>,
    ) -> Result<Vec<bool>, End> {
        self.on_book(|book| book.watch_all(set, keys));
        let mut seen_one = false;
        let mut seen_bad = false;
        let waited = self.shared.wait_for(deadline, |book| {
            while let Some((key, _)) = book.watches.get_mut(&set).and_then(Watch::take) {
                seen_one = true;
                seen_bad |= book
                    .commands
                    .get(&key.command)
                    .is_some_and(|command| command.unsuccessful.has(key.index.unwrap_or(0)));
            }
            let all = book.watched(set).1 == 0;
            let is_over = match until {
                FlowReturnWhen::All => all,
                FlowReturnWhen::First => all || seen_one,
                FlowReturnWhen::FirstError => all || seen_bad,
            };
            Ok(is_over.then_some(()))
        });
        let ended = self.on_book(|book| {
            let ended = keys.iter().map(|key| book.has_ended(*key)).collect();
            book.unwatch(set);
            ended
        });
        waited.map(|_| ended)
    }

    /// Takes the next run of a set, or says that there is none; none when the time is over first.
    fn take_next(book: &mut Book, set: u32) -> Option<FlowNext> {
        if let Some((key, source)) = book.watches.get_mut(&set).and_then(Watch::take) {
            book.hold(FlowWatched::One(key));
            return Some(FlowNext::Completed { key, source });
        }
        matches!(book.watched(set), (Some(_), 0)).then_some(FlowNext::Exhausted)
    }
}

/// The number of the set that waits for several runs: no flow makes so many.
const WAIT_SET: u32 = u32::MAX;

impl FlowCalls for ComponentCalls {
    fn submit(
        &mut self,
        target: FlowTarget,
        arguments: Vec<(String, FlowArgument)>,
    ) -> Result<u32, End> {
        self.command(&target, false, Vec::new(), arguments)
    }

    fn map(
        &mut self,
        target: FlowTarget,
        each: Vec<(String, FlowElements)>,
        same: Vec<(String, FlowArgument)>,
    ) -> Result<u32, End> {
        self.command(&target, true, each, same)
    }

    fn length(&mut self, command: u32) -> Result<Result<u64, Box<FlowEnd>>, End> {
        let asked = FlowStep::Length(command, None);
        let recorded = self.recorded()?;
        match &recorded {
            Some(FlowStep::Length(number, Some(length))) if *number == command => {
                self.on_book(|book| book.sized(command, *length));
                return Ok(Ok(*length));
            }
            Some(FlowStep::Length(number, None)) if *number == command => {}
            Some(other) => return self.changed(other, &asked.to_string()),
            None => {}
        }
        let length = self.shared.wait_for(None, |book| {
            let Some(of) = book.commands.get(&command) else { return Ok(Some(None)) };
            Ok(if of.failed.is_some() { Some(None) } else { of.total.map(Some) })
        })?;
        let length = length.flatten();
        if recorded.is_none() {
            self.write(&FlowStep::Length(command, length))?;
        }
        if let Some(length) = length {
            return Ok(Ok(length));
        }
        let key = FutureKey { command, index: None };
        let end = self.read(|book| {
            let failed = book.commands.get(&command).and_then(|of| of.failed.clone());
            let outcome = failed.ok_or("a map is not there")?;
            let (run, name) = book.identity(key);
            let state = State::from_outcome(&outcome, book.clock.now());
            Ok(FlowEnd { run, name, state, outcome })
        })?;
        Ok(Err(Box::new(end)))
    }

    fn identity(&mut self, key: FutureKey) -> Result<(RunId, Arc<str>), End> {
        // It follows from the flow's id and the command, so there is nothing to write down.
        Ok(self.on_book(|book| book.identity(key)))
    }

    fn state(&mut self, key: FutureKey) -> Result<State, End> {
        match self.recorded()? {
            Some(FlowStep::State(other, kind, name, message)) if other == key => {
                if kind.is_final() {
                    self.settle(key)?;
                }
                let message = message.map(Arc::from);
                Ok(State { kind, name: name.into(), message, at: self.clock.now() })
            }
            Some(other) => {
                let at = State::pending(self.clock.now());
                let now = FlowStep::State(key, at.kind, String::new(), None);
                self.changed(&other, &now.to_string())
            }
            None => {
                let state = self.read(|book| book.state(key))?;
                let message = state.message.as_deref().map(str::to_owned);
                let name = state.name.clone().into_owned();
                self.write(&FlowStep::State(key, state.kind, name, message))?;
                Ok(state)
            }
        }
    }

    fn end(
        &mut self,
        key: FutureKey,
        timeout: Option<Duration>,
    ) -> Result<Option<Box<FlowEnd>>, End> {
        let has_ended = match self.recorded()? {
            Some(FlowStep::Ended(other, has_ended)) if other == key => {
                if has_ended {
                    self.settle(key)?;
                }
                has_ended
            }
            Some(other) => {
                return self.changed(&other, &FlowStep::Ended(key, true).to_string());
            }
            None => {
                let until = Self::deadline(timeout);
                let ended =
                    self.shared.wait_for(until, |book| Ok(book.has_ended(key).then_some(())))?;
                self.write(&FlowStep::Ended(key, ended.is_some()))?;
                ended.is_some()
            }
        };
        if !has_ended {
            return Ok(None);
        }
        self.read(|book| {
            let end = book.ended(key)?;
            book.was_told(key);
            Ok(Some(Box::new(end)))
        })
    }

    fn wait(
        &mut self,
        keys: &[FutureKey],
        timeout: Option<Duration>,
        until: FlowReturnWhen,
    ) -> Result<Vec<bool>, End> {
        let asked = Asked::new(keys, until);
        match self.recorded()? {
            Some(FlowStep::Waited(other, bits)) if other == asked => {
                let ended = unpack(&bits, keys.len());
                for (key, _) in keys.iter().zip(&ended).filter(|(_, has_ended)| **has_ended) {
                    self.settle(*key)?;
                }
                Ok(ended)
            }
            Some(other) => self.changed(&other, &FlowStep::Waited(asked, Vec::new()).to_string()),
            None => {
                let ended = self.wait_on(WAIT_SET, keys, until, Self::deadline(timeout))?;
                self.write(&FlowStep::Waited(asked, pack(&ended)))?;
                Ok(ended)
            }
        }
    }

    fn watch(&mut self) -> Result<u32, End> {
        let set = self.sets;
        self.sets = set.checked_add(1).filter(|next| *next < WAIT_SET).ok_or_else(|| {
            self.shared.fail(host_error("the flow has watched more sets than there are numbers"))
        })?;
        self.on_book(|book| book.watches.insert(set, Watch::default()));
        Ok(set)
    }

    fn add_watched(&mut self, set: u32, what: FlowWatched) -> Result<(), End> {
        self.on_book(|book| book.watch(set, what));
        Ok(())
    }

    fn next(&mut self, set: u32, timeout: Option<Duration>) -> Result<FlowNext, End> {
        match self.recorded()? {
            Some(FlowStep::Next(other, answer, waited)) if other == set => {
                if let Answer::Completed(key, _) = answer {
                    self.settle(key)?;
                }
                self.on_book(|book| {
                    let Some(watch) = book.watches.get_mut(&set) else { return };
                    watch.waited = Duration::from_nanos(waited);
                    if let Answer::Completed(key, _) = answer {
                        watch.take_this(key);
                        book.hold(FlowWatched::One(key));
                    }
                });
                Ok(answer.into())
            }
            Some(other) => {
                let now = FlowStep::Next(set, Answer::Exhausted, 0);
                self.changed(&other, &now.to_string())
            }
            None => self.next_live(set, timeout),
        }
    }

    fn unwatch(&mut self, set: u32) {
        self.on_book(|book| book.unwatch(set));
    }

    fn cancel(&mut self, what: FlowWatched) -> Result<(), End> {
        self.same(&FlowStep::Cancelled(what))?;
        self.on_book(|book| book.cancel(what));
        Ok(())
    }

    fn hold(&mut self, what: FlowWatched) {
        self.on_book(|book| book.hold(what));
    }

    fn let_go(&mut self, what: FlowWatched) {
        self.on_book(|book| book.let_go(what));
    }

    fn sleep(&mut self, time: Duration) -> Result<(), End> {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let due = match self.recorded()? {
            Some(FlowStep::Sleep(other, due)) if other == nanos => due,
            Some(other) => {
                let now = FlowStep::Sleep(nanos, self.clock.now());
                return self.changed(&other, &now.to_string());
            }
            None => {
                let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
                let due = self.clock.now().as_micros().saturating_add(micros);
                let due = sandmill_core::Timestamp::from_micros(due);
                self.write(&FlowStep::Sleep(nanos, due))?;
                due
            }
        };
        let left = due.since(self.clock.now());
        // Further away than the clock goes is for ever: until the flow is stopped.
        let until = Instant::now().checked_add(left);
        self.shared.wait_for::<()>(until, |_| Ok(None))?;
        Ok(())
    }

    fn is_replaying(&self) -> bool {
        self.tape.may_replay()
    }
}

impl ComponentCalls {
    fn next_live(&mut self, set: u32, timeout: Option<Duration>) -> Result<FlowNext, End> {
        let waited = self.on_book(|book| book.watches.get(&set).map(|watch| watch.waited));
        let waited = waited.unwrap_or_default();
        let start = Instant::now();
        let until = timeout.and_then(|timeout| start.checked_add(timeout.saturating_sub(waited)));
        let next = self.shared.wait_for(until, |book| Ok(Self::take_next(book, set)))?;
        let waited = waited.saturating_add(start.elapsed());
        let next = self.on_book(|book| {
            if let Some(watch) = book.watches.get_mut(&set) {
                watch.waited = waited;
            }
            let (total, unfinished) = book.watched(set);
            let total = total.unwrap_or(unfinished);
            next.unwrap_or(FlowNext::Timeout { unfinished, total })
        });
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.write(&FlowStep::Next(set, next.clone().into(), nanos))?;
        Ok(next)
    }
}
