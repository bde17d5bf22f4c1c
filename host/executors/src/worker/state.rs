//! Everything that a worker holds, under one lock, and the moves that a run makes through it.
//! What coordinators ask is in `intake`, sessions and links in `sessions`, what time brings in
//! `timer`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use sandmill_core::{Attempt, Call, Clock, Events, Invoker, Usage};
use sandmill_transport::message::RunReport;
use sandmill_wire::{Digest, End, EndKind, RunId};
use uuid::Uuid;

use super::attending::Attending;
use super::components::Components;
use super::config::{STARTED_AFTER, WorkerConfig};
use super::ending::{self, Wrapped, wrap};
use super::partials::Partials;
use super::session::{Held, Kept, Phase, Session, Sessions};
use super::shared::Bells;
use super::values::{Results, Values};

/// How far the worker is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    Draining,
    Closed,
}

/// A slot that is taken.
pub(super) struct Underway {
    pub(super) attending: Arc<Attending>,
    pub(super) since: Instant,
}

/// What a worker has counted since it started.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) ended: BTreeMap<&'static str, u64>,
    pub(super) refused: u64,
    pub(super) stale: u64,
    pub(super) handed_back: u64,
    pub(super) answered_again: u64,
    pub(super) lines_left_out: u64,
    pub(super) untaken: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// Everything that a worker holds.
pub(super) struct State {
    pub(super) config: Arc<WorkerConfig>,
    pub(super) bells: Arc<Bells>,
    pub(super) clock: Clock,
    pub(super) stage: Stage,
    pub(super) sessions: Sessions,
    /// Sessions that were let go of with nothing in them, the latest last.
    pub(super) let_go: VecDeque<Uuid>,
    /// Sessions with runs that can start, in the order of their turns.
    pub(super) turns: VecDeque<Uuid>,
    /// Which session holds a run; never more than one.
    pub(super) holders: HashMap<RunId, Uuid>,
    pub(super) slots: Vec<Option<Underway>>,
    /// Slots that wait for work.
    pub(super) idle: usize,
    pub(super) components: Components,
    pub(super) values: Values,
    pub(super) partials: Partials,
    pub(super) results: Results,
    pub(super) counters: Counters,
    /// When runs that wait have to have ended: when, serial, run.
    pub(super) deadlines: BTreeSet<(Instant, u64, RunId)>,
    /// Until when the timer sleeps; none when until it is woken.
    pub(super) timer_at: Option<Instant>,
    pub(super) serials: u64,
    pub(super) links: u64,
    /// Links whose tasks have not ended.
    pub(super) open_links: usize,
}

/// What a slot gets to do.
pub(super) struct Job {
    pub(super) run: RunId,
    pub(super) serial: u64,
    attempt: u32,
    call: Call,
    pub(super) attending: Arc<Attending>,
    clock: Clock,
}

impl Job {
    /// Makes the attempt.
    pub(super) fn invoke(&self, invoker: &dyn Invoker) -> sandmill_core::Report {
        let events = Events::new(self.clock.clone());
        events.observe(Arc::clone(&self.attending) as Arc<dyn sandmill_core::Observer>);
        invoker.invoke(Attempt {
            run: self.run,
            number: self.attempt,
            call: &self.call,
            cancel: &self.attending.cancel,
            events: &events,
        })
    }
}

impl State {
    pub(super) fn new(config: &Arc<WorkerConfig>, bells: &Arc<Bells>) -> Self {
        Self {
            config: Arc::clone(config),
            bells: Arc::clone(bells),
            clock: Clock::system(),
            stage: Stage::Open,
            sessions: HashMap::new(),
            let_go: VecDeque::new(),
            turns: VecDeque::new(),
            holders: HashMap::new(),
            slots: (0..config.slots).map(|_| None).collect(),
            idle: 0,
            components: Components::new(config.components_bytes),
            values: Values::new(config.values_bytes),
            partials: Partials::default(),
            results: Results::default(),
            counters: Counters::default(),
            deadlines: BTreeSet::new(),
            timer_at: None,
            serials: 0,
            links: 0,
            open_links: 0,
        }
    }

    /// The run of that session.
    pub(super) fn held(&self, id: Uuid, run: RunId) -> Option<&Held> {
        self.sessions.get(&id)?.runs.get(&run)
    }

    /// Has the timer look at this moment at the latest.
    pub(super) fn look_at(&mut self, at: Instant) {
        if self.timer_at.is_none_or(|known| at < known) {
            self.timer_at = Some(at);
            self.bells.timer.notify_one();
        }
    }

    /// Takes a run into a session, and notes what it takes of its bounds.
    pub(super) fn attach(&mut self, id: Uuid, run: RunId, held: Held) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (serial, mut due) = (held.serial, None);
        match &held.phase {
            Phase::Waiting(waiting) => {
                session.waiting += 1;
                session.waiting_bytes += waiting.bytes;
                due = waiting.deadline;
                if waiting.ready {
                    session.ready.push_back((run, serial));
                }
            }
            Phase::Running(_) => session.running += 1,
            Phase::Ended(kept) => {
                session.kept += 1;
                session.kept_bytes += kept.bytes;
            }
        }
        session.runs.insert(run, held);
        self.holders.insert(run, id);
        if let Some(due) = due {
            self.deadlines.insert((due, serial, run));
            self.look_at(due);
        }
        self.rejoin(id);
    }

    /// Gives back what the run takes of its session's bounds, and lets go of what it holds.
    fn leave(&mut self, id: Uuid, run: RunId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(held) = session.runs.get(&run) else { return };
        let component = held.component;
        match &held.phase {
            Phase::Waiting(waiting) => {
                session.waiting -= 1;
                session.waiting_bytes -= waiting.bytes;
                if let Some(deadline) = waiting.deadline {
                    self.deadlines.remove(&(deadline, held.serial, run));
                }
                if waiting.ready {
                    session.ready_gone += 1;
                }
                self.components.unwant(&component, id);
            }
            Phase::Running(_) => {
                session.running -= 1;
                self.components.unwant(&component, id);
            }
            Phase::Ended(kept) => {
                session.kept -= 1;
                session.kept_bytes -= kept.bytes;
                session.outbox.unsay(run);
                if let Some(blob) = &kept.blob {
                    self.results.release(blob);
                }
            }
        }
    }

    /// Takes a run out of its session as it is.
    pub(super) fn detach(&mut self, id: Uuid, run: RunId) -> Option<Held> {
        self.leave(id, run);
        let session = self.sessions.get_mut(&id)?;
        let held = session.runs.remove(&run)?;
        session.sweep_ready();
        self.holders.remove(&run);
        self.rejoin(id);
        self.bells.changed.notify_waiters();
        Some(held)
    }

    /// Forgets a run: one that is under way is cancelled, and its end will be nobody's.
    pub(super) fn forget(&mut self, id: Uuid, run: RunId) {
        if let Some(Held { phase: Phase::Running(attending), .. }) = self.detach(id, run) {
            attending.cancel.cancel();
        }
    }

    /// Moves a run that waits or runs to its end, and has that told.
    pub(super) fn end(
        &mut self,
        id: Uuid,
        run: RunId,
        wrapped: Wrapped,
        usage: Usage,
        began: bool,
    ) {
        if self.held(id, run).is_none_or(|held| matches!(held.phase, Phase::Ended(_))) {
            return;
        }
        self.leave(id, run);
        let kept = self.keep(wrapped, usage, began);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if began {
            session.backlog.took(usage.wall_micros);
        }
        let Some(held) = session.runs.get_mut(&run) else { return };
        session.kept += 1;
        session.kept_bytes += kept.bytes;
        held.phase = Phase::Ended(Box::new(kept));
        let report: Option<RunReport> = held.report(run);
        session.sweep_ready();
        if let Some(report) = report {
            session
                .outbox
                .ended(report, session.backlog.patience(session.waiting, self.config.slots));
        }
        self.bells.changed.notify_waiters();
    }

    /// Counts an end and keeps its bytes where they go by digest.
    pub(super) fn keep(&mut self, wrapped: Wrapped, usage: Usage, began: bool) -> Kept {
        let name = ending::name_of(&wrapped.ending);
        *self.counters.ended.entry(name).or_default() += 1;
        if name == EndKind::Refused.name() {
            self.counters.refused += 1;
        }
        let bytes = ending::size_of(&wrapped);
        let Wrapped { ending, blob } = wrapped;
        let blob = blob.map(|bytes| {
            let digest = ending::digest_of(&ending).unwrap_or_else(|| Digest::of(&bytes));
            self.results.keep(digest, bytes);
            digest
        });
        if blob.is_none() {
            self.counters.bytes_out += bytes;
        }
        let is_answer = ending::is_answer(&ending, began);
        Kept { ending, usage, bytes, blob, is_answer }
    }

    /// Puts a session back into the round where it has something to start, and wakes slots for it.
    pub(super) fn rejoin(&mut self, id: Uuid) {
        let idle = self.idle;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.ready.is_empty() || !may_start(session, &self.config) {
            return;
        }
        if !session.in_turns {
            session.in_turns = true;
            self.turns.push_back(id);
        }
        for _ in 0..session.ready.len().min(idle) {
            self.bells.work.notify_one();
        }
    }

    /// What this slot does next, if there is anything.
    pub(super) fn next_job(&mut self, slot: usize) -> Option<Job> {
        loop {
            let id = self.turns.pop_front()?;
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.in_turns = false;
            if !may_start(session, &self.config) {
                continue;
            }
            let Some((run, serial)) = session.ready.pop_front() else { continue };
            if !session.ready.is_empty() {
                session.in_turns = true;
                self.turns.push_back(id);
            }
            let session = self.sessions.get(&id)?;
            let Some(held) = session.runs.get(&run).filter(|held| held.serial == serial) else {
                continue;
            };
            let Phase::Waiting(waiting) = &held.phase else { continue };
            if waiting.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.end_late(id, run);
                continue;
            }
            if let Some(job) = self.start(slot, id, run) {
                return Some(job);
            }
        }
    }

    /// Ends a run whose deadline passed while it waited.
    pub(super) fn end_late(&mut self, id: Uuid, run: RunId) {
        // In the words of the other executors.
        let words = "the run's deadline passed before it started";
        let end = End::new(EndKind::TimedOut, words);
        self.end(id, run, wrap(end.into()), Usage::default(), false);
    }

    fn start(&mut self, slot: usize, id: Uuid, run: RunId) -> Option<Job> {
        let session = self.sessions.get_mut(&id)?;
        let held = session.runs.get_mut(&run)?;
        let Phase::Waiting(waiting) = &mut held.phase else { return None };
        let Some(component) = self.components.get(&held.component) else {
            // It is held for whoever wants it, so this does not happen; it would come again.
            waiting.ready = false;
            return None;
        };
        let spec = Arc::clone(&waiting.spec);
        let mut call = Call::new(component, Arc::clone(&spec.task), waiting.arguments.clone())
            .with_options(Arc::clone(&spec.options))
            .as_run(run, held.attempt.saturating_sub(1));
        call.map_index = waiting.index;
        if let Some(deadline) = waiting.deadline {
            let mut options = (*call.options).clone();
            options.deadline = Some(deadline);
            call.options = options.into();
            self.deadlines.remove(&(deadline, held.serial, run));
        }
        session.waiting -= 1;
        session.waiting_bytes -= waiting.bytes;
        session.running += 1;
        let attending = Attending::new(held.of(run), &session.outbox, self.clock.now());
        let attending = Arc::new(attending);
        held.phase = Phase::Running(Arc::clone(&attending));
        if spec.has_effects {
            // Whoever decides whether it may be made again has to know as early as can be.
            attending.tell_started();
        }
        let (serial, attempt) = (held.serial, held.attempt);
        let since = Instant::now();
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(Underway { attending: Arc::clone(&attending), since });
        }
        self.look_at(since + STARTED_AFTER);
        Some(Job { run, serial, attempt, call, attending, clock: self.clock.clone() })
    }

    /// Takes what came of a slot's job.
    pub(super) fn ended(&mut self, slot: usize, job: &Job, wrapped: Wrapped, usage: Usage) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = None;
        }
        self.counters.lines_left_out += job.attending.close(self.clock.now());
        let holder = self.holders.get(&job.run).copied();
        let id = holder
            .filter(|id| self.held(*id, job.run).is_some_and(|held| held.serial == job.serial));
        match id {
            Some(id) => self.end(id, job.run, wrapped, usage, true),
            None => {
                // Its coordinator went, or has ordered it anew: nobody waits for this end.
                self.counters.stale += 1;
                self.bells.changed.notify_waiters();
            }
        }
    }

    /// Whether any slot is taken.
    pub(super) fn is_running(&self) -> bool {
        self.slots.iter().any(Option::is_some)
    }

    /// A number that no other attempt has.
    pub(super) const fn serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }
}

/// Whether runs of the session may start: not while nobody takes what it has, and not while it has
/// no link, since its coordinator could not know which have started and may place them elsewhere.
pub(super) fn may_start(session: &Session, config: &WorkerConfig) -> bool {
    session.link.is_some() && session.kept < config.kept && session.kept_bytes < config.kept_bytes
}
