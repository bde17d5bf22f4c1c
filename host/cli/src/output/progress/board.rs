//! The counters. The observer of events only counts, under a lock of its own, so a million events
//! cost little and no event waits for a terminal; whoever shows them takes a view ten times a
//! second.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandmill::core::{LogLine, Progress, Submitted, Usage};
use sandmill::{Event, EventKind, Observer, RunId, State, StateType};

use super::hooks::HookEnd;
use super::stage::{Counts, StageView};
use crate::config::LogChoice;

/// Failures that are kept to be shown; the others are counted.
pub(crate) const KEPT_FAILURES: usize = 20;
/// Lines of a run's log that are kept in case it fails.
const KEPT_LINES: usize = 10;
/// Reasons for which runs wait that are shown; further ones are not.
const KEPT_WAITS: usize = 20;
/// Log lines that may wait to be shown; more are counted and left out.
const WAITING_LINES: usize = 10_000;

/// Watches the events of runs and counts. Cheap to clone; clones are the same board.
#[derive(Clone)]
pub(crate) struct Watcher(Arc<Mutex<Board>>);

impl Watcher {
    /// A board that nothing has happened on.
    pub(crate) fn new(logs: LogChoice) -> Self {
        Self(Arc::new(Mutex::new(Board::new(logs))))
    }

    /// The board; keep it for a moment only.
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn on_event(&self, event: &Event) {
        self.board().note(event);
    }
}

/// What happened so far.
pub(crate) struct Board {
    logs: LogChoice,
    stages: Vec<StageView>,
    by_name: HashMap<Arc<str>, usize>,
    /// Runs that have not ended.
    live: HashMap<RunId, Live>,
    /// Those of them that are running: no more than there are slots.
    running: HashSet<RunId>,
    /// Those of them that wait until they are tried again.
    waiting: HashSet<RunId>,
    interrupted: bool,
    /// What is running by another's word: that of the store, of a run in another process.
    told: Option<Vec<Running>>,
    /// Whole flows, which are not runs of a stage.
    flows: HashSet<RunId>,
    /// The hooks that have ended.
    hooks: Vec<HookEnd>,
    /// The first failures.
    pub(crate) failures: Vec<Failed>,
    /// How many of them were shown as they happened.
    pub(crate) failures_shown: usize,
    lines: VecDeque<(Arc<str>, LogLine)>,
    lines_left_out: u64,
    /// Why runs of a stage wait, each reason once, and the first run that it was said of.
    waits: Vec<(usize, Arc<str>, Arc<str>)>,
    waits_shown: usize,
}

struct Live {
    stage: usize,
    name: Arc<str>,
    since: Instant,
    progress: Option<Progress>,
    /// Its latest lines, in case it fails.
    lines: VecDeque<LogLine>,
}

/// A run that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// Which run.
    pub(crate) run: RunId,
    /// Its name: `count[17]`.
    pub(crate) name: Arc<str>,
    /// Where it stands.
    pub(crate) state: State,
    /// The last lines that it logged.
    pub(crate) lines: Vec<LogLine>,
}

/// A run that is running.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// For how long.
    pub(crate) elapsed: Duration,
    /// How far it has come, by its own word.
    pub(crate) progress: Option<Progress>,
}

impl Board {
    fn new(logs: LogChoice) -> Self {
        Self {
            logs,
            stages: Vec::new(),
            by_name: HashMap::new(),
            live: HashMap::new(),
            running: HashSet::new(),
            waiting: HashSet::new(),
            interrupted: false,
            told: None,
            flows: HashSet::new(),
            hooks: Vec::new(),
            failures: Vec::new(),
            failures_shown: 0,
            lines: VecDeque::new(),
            lines_left_out: 0,
            waits: Vec::new(),
            waits_shown: 0,
        }
    }

    /// Makes a stage known before anything happens in it.
    pub(crate) fn expect(&mut self, name: &str, total: Option<u64>) {
        let stage = self.stage(&Arc::from(name));
        self.stages[stage].total = total;
    }

    /// The stages, in the order in which they became known.
    pub(crate) fn stages(&self) -> &[StageView] {
        &self.stages
    }

    /// The stages that are the flow's own, not those of its hooks.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &StageView> {
        self.stages.iter().filter(|stage| !stage.is_hook)
    }

    /// The hooks that have ended, in their order.
    pub(crate) fn hooks(&self) -> &[HookEnd] {
        &self.hooks
    }

    /// Takes these hooks for those that have ended.
    pub(crate) fn tell_hooks(&mut self, hooks: Vec<HookEnd>) {
        self.hooks = hooks;
    }

    /// Takes the stage of this name for a hook's.
    pub(super) fn set_apart(&mut self, name: &str) {
        if let Some(stage) = self.by_name.get(name) {
            self.stages[*stage].is_hook = true;
        }
    }

    /// The first failures, but for those of hooks.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &Failed> {
        let of_hook = |run: RunId| self.hooks.iter().any(|hook| hook.run == run);
        self.failures.iter().filter(move |failure| !of_hook(failure.run))
    }

    /// From now on, runs that are cancelled are interrupted: they go on when their flow does.
    pub(crate) fn interrupted(&mut self) {
        self.interrupted = true;
    }

    /// What becomes of runs that are told to be cancelled.
    pub(super) const fn word_for_cancelled(&self) -> &'static str {
        if self.interrupted { "interrupted" } else { "cancelled" }
    }

    /// Shows what a store says of a run in another process, in place of events.
    pub(crate) fn mirror(&mut self, stages: Vec<StageView>, running: Vec<Running>) {
        self.stages = stages;
        self.told = Some(running);
    }

    /// Takes the counts of a stage's ended runs as they are said to be.
    pub(super) fn take_ends(&mut self, name: &Arc<str>, ends: &Counts, total: Option<u64>) {
        let stage = self.stage(name);
        let view = &mut self.stages[stage];
        let Counts { running, waiting, retries, submitted, .. } = view.counts;
        let submitted = submitted.max(ends.submitted);
        view.counts = Counts { running, waiting, retries, submitted, ..*ends };
        view.total = total.or(view.total);
    }

    /// Adds a failure that a store tells of.
    pub(crate) fn tell_failure(&mut self, failure: Failed) {
        if self.failures.len() < KEPT_FAILURES {
            self.failures.push(failure);
        }
    }

    /// The counts of all stages together, but for those of hooks.
    pub(crate) fn total(&self) -> Counts {
        self.tasks().fold(Counts::default(), |sum, stage| sum.and(&stage.counts))
    }

    /// The runs that are running, the oldest first: at most so many.
    pub(crate) fn running(&self, most: usize) -> Vec<Running> {
        if let Some(told) = &self.told {
            return told.iter().take(most).cloned().collect();
        }
        let mut running: Vec<&Live> =
            self.running.iter().filter_map(|run| self.live.get(run)).collect();
        running.sort_by_key(|live| live.since);
        running
            .into_iter()
            .take(most)
            .map(|live| Running {
                name: Arc::clone(&live.name),
                elapsed: live.since.elapsed(),
                progress: live.progress.clone(),
            })
            .collect()
    }

    /// Log lines to show now, and how many were left out because too many waited.
    pub(crate) fn take_lines(&mut self) -> (Vec<(Arc<str>, LogLine)>, u64) {
        (self.lines.drain(..).collect(), std::mem::take(&mut self.lines_left_out))
    }

    /// Runs that wait, and why, to show now.
    pub(crate) fn take_waits(&mut self) -> Vec<(Arc<str>, Arc<str>)> {
        let new = self.waits.get(self.waits_shown..).unwrap_or_default();
        let new = new.iter().map(|(_, name, why)| (Arc::clone(name), Arc::clone(why))).collect();
        self.waits_shown = self.waits.len();
        new
    }

    /// Failures to show now.
    pub(crate) fn take_failures(&mut self) -> Vec<Failed> {
        let new = self.failures.get(self.failures_shown..).unwrap_or_default().to_vec();
        self.failures_shown = self.failures.len();
        new
    }

    /// Takes notice of one event.
    pub(crate) fn note(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Submitted(submitted) => self.submitted(event.run, submitted),
            EventKind::State(state) => self.state(event.run, state),
            EventKind::Log(line) => self.log(event.run, line),
            EventKind::Progress(progress) => {
                if let Some(live) = self.live.get_mut(&event.run) {
                    live.progress = Some(progress.clone());
                }
            }
            EventKind::Used(usage) => self.used(event.run, usage),
            EventKind::Attempt(attempt) if attempt.number > 1 => {
                if let Some(live) = self.live.get(&event.run) {
                    self.stages[live.stage].counts.retries += 1;
                }
            }
            EventKind::Mapped(mapped) => {
                let stage = self.stage(&mapped.stage);
                self.stages[stage].total = Some(mapped.total);
            }
            // Kinds that a later version adds have no place on this board.
            _ => {}
        }
    }

    fn stage(&mut self, name: &Arc<str>) -> usize {
        if let Some(stage) = self.by_name.get(name) {
            return *stage;
        }
        self.stages.push(StageView::new(Arc::clone(name)));
        self.by_name.insert(Arc::clone(name), self.stages.len() - 1);
        self.stages.len() - 1
    }

    fn submitted(&mut self, run: RunId, submitted: &Submitted) {
        if submitted.component.is_none() {
            self.flows.insert(run);
            return;
        }
        let stage = self.stage(&submitted.stage);
        let now = Instant::now();
        let view = &mut self.stages[stage];
        view.counts.submitted += 1;
        view.started.get_or_insert(now);
        let name = Arc::clone(&submitted.name);
        let live = Live { stage, name, since: now, progress: None, lines: VecDeque::new() };
        self.live.insert(run, live);
    }

    /// A run went to a state that is not its last.
    fn moved(&mut self, run: RunId, state: &State) {
        let Some(live) = self.live.get_mut(&run) else { return };
        let counts = &mut self.stages[live.stage].counts;
        match state.kind {
            StateType::Running => {
                if self.running.insert(run) {
                    live.since = Instant::now();
                    counts.running += 1;
                }
                counts.waiting -= u64::from(self.waiting.remove(&run));
            }
            StateType::Scheduled => {
                counts.running -= u64::from(self.running.remove(&run));
                counts.waiting += u64::from(self.waiting.insert(run));
            }
            StateType::Pending | StateType::Paused => {
                counts.running -= u64::from(self.running.remove(&run));
                counts.waiting -= u64::from(self.waiting.remove(&run));
                if let Some(why) = &state.message
                    && state.kind == StateType::Pending
                    && self.waits.len() < KEPT_WAITS
                    && !self
                        .waits
                        .iter()
                        .any(|(stage, _, told)| *stage == live.stage && told == why)
                {
                    self.waits.push((live.stage, Arc::clone(&live.name), Arc::clone(why)));
                }
            }
            _ => {}
        }
    }

    fn state(&mut self, run: RunId, state: &State) {
        if !state.is_final() {
            self.moved(run, state);
            return;
        }
        self.flows.remove(&run);
        let Some(live) = self.live.remove(&run) else { return };
        let view = &mut self.stages[live.stage];
        view.counts.running -= u64::from(self.running.remove(&run));
        view.counts.waiting -= u64::from(self.waiting.remove(&run));
        view.ended = Some(Instant::now());
        view.counts.cached += u64::from(state.name == "Cached");
        view.counts.skipped += u64::from(state.name == "Skipped");
        match state.kind {
            StateType::Completed => view.counts.completed += 1,
            StateType::Cancelled => view.counts.cancelled += 1,
            StateType::Crashed => view.counts.crashed += 1,
            _ => view.counts.failed += 1,
        }
        view.counts.timed_out += u64::from(state.name == "TimedOut");
        view.counts.upstream += u64::from(state.name == "TriggerFailed");
        let bad = !matches!(state.kind, StateType::Completed | StateType::Cancelled);
        if bad && self.failures.len() < KEPT_FAILURES {
            let (name, state) = (live.name, state.clone());
            self.failures.push(Failed { run, name, state, lines: live.lines.into() });
        }
    }

    fn log(&mut self, run: RunId, line: &LogLine) {
        let Some(live) = self.live.get_mut(&run) else { return };
        if let Some(least) = self.logs.live() {
            if line.level < least {
            } else if self.lines.len() < WAITING_LINES {
                self.lines.push_back((Arc::clone(&live.name), line.clone()));
            } else {
                self.lines_left_out += 1;
            }
        } else if self.logs == LogChoice::Failed {
            if live.lines.len() == KEPT_LINES {
                live.lines.pop_front();
            }
            live.lines.push_back(line.clone());
        }
    }

    fn used(&mut self, run: RunId, usage: &Usage) {
        let Some(live) = self.live.get(&run) else { return };
        let view = &mut self.stages[live.stage];
        view.busy_micros = view.busy_micros.saturating_add(usage.wall_micros);
        view.slowest_micros = view.slowest_micros.max(usage.wall_micros);
        view.peak_memory = view.peak_memory.max(usage.peak_memory);
    }
}

#[cfg(test)]
mod tests;
