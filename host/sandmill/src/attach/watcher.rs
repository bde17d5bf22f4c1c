//! Looks at the records of runs that other processes have, for as long as anybody has a future on
//! them. The future is given out in `runs`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use sandmill_core::future::Promise;
use sandmill_core::{Report, State, Usage};
use sandmill_store::{Reader, RunKey, Store, StoreError};
use sandmill_wire::{Outcome, RunId};

use super::runs::AttachError;

/// Runs that one [`Runs`](super::Runs) looks after at a time.
pub const MAX_ATTACHED: usize = 10_000;
/// How soon a run that has just changed is looked at again: 20 ms.
pub const ATTACH_POLL_LEAST: Duration = Duration::from_millis(20);
/// How soon a run is looked at again that has not changed for long: 250 ms.
pub const ATTACH_POLL_MOST: Duration = Duration::from_millis(250);

/// Where the record of a run is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// It is a flow run.
    Flow,
    /// It is a task's, of this flow run.
    Task { flow: RunId, key: RunKey },
}

/// What a look at a record found.
pub(super) struct Look {
    pub(super) name: Arc<str>,
    pub(super) state: State,
    pub(super) attempts: u32,
    usage: Usage,
    value_of: Option<RunId>,
}

/// Looks after futures on the runs of one data directory.
pub(super) struct Watcher {
    reader: Reader,
    dir: PathBuf,
    cared: Mutex<Cared>,
    /// Told when there is a new run to look after, or nobody is left to do it for.
    changed: Condvar,
}

#[derive(Default)]
struct Cared {
    runs: HashMap<u64, Distant>,
    next: u64,
    /// Whether a thread looks.
    watched: bool,
}

/// A run that another process has.
struct Distant {
    run: RunId,
    place: Place,
    promise: Promise,
    /// Whether its process was asked to cancel it.
    asked: bool,
}

impl Watcher {
    pub(super) fn new(reader: Reader, dir: &Path) -> Self {
        let (cared, changed) = (Mutex::default(), Condvar::new());
        Self { reader, dir: dir.to_owned(), cared, changed }
    }

    pub(super) const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Looks at the record of a run.
    pub(super) fn look(&self, run: RunId, place: Place) -> Result<Look, StoreError> {
        match place {
            Place::Flow => {
                let record = self.reader.flow(run)?.ok_or(StoreError::NoSuchFlow { flow: run })?;
                Ok(Look {
                    name: record.name,
                    state: record.state,
                    attempts: record.starts,
                    usage: Usage::default(),
                    value_of: None,
                })
            }
            Place::Task { flow, key } => {
                let record = self.reader.run(flow, key)?;
                let record = record.ok_or_else(|| gone(run))?;
                Ok(Look {
                    name: Arc::default(),
                    state: record.state,
                    attempts: record.attempts,
                    usage: record.usage,
                    value_of: record.value_of,
                })
            }
        }
    }

    fn outcome(&self, run: RunId, place: Place) -> Result<Option<Outcome>, StoreError> {
        match place {
            Place::Flow => self.reader.flow_outcome(run),
            Place::Task { flow, key } => self.reader.outcome(flow, key),
        }
    }

    /// Looks after a future until its run has ended.
    pub(super) fn care(
        this: &Arc<Self>,
        run: RunId,
        place: Place,
        promise: Promise,
    ) -> Result<(), AttachError> {
        let mut distant = Distant { run, place, promise, asked: false };
        // What has ended already needs no thread.
        match this.see(&mut distant) {
            Ok(Seen::Ended(report, state)) => {
                distant.promise.finish_as(report, state);
                return Ok(());
            }
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut cared = this.cared.lock();
        if cared.runs.len() >= MAX_ATTACHED {
            return Err(AttachError::TooMany);
        }
        if !cared.watched {
            let watcher = Arc::clone(this);
            std::thread::Builder::new()
                .name("sandmill-attached".to_owned())
                .spawn(move || watch(&watcher))
                .map_err(AttachError::Thread)?;
            cared.watched = true;
        }
        let number = cared.next;
        cared.next += 1;
        cared.runs.insert(number, distant);
        drop(cared);
        this.changed.notify_all();
        Ok(())
    }

    /// Looks at a run again, and passes on a request to cancel it.
    fn see(&self, distant: &mut Distant) -> Result<Seen, StoreError> {
        if distant.promise.cancel_token().is_cancelled() && !distant.asked {
            Store::request_cancel(&self.dir, distant.run)?;
            distant.asked = true;
        }
        let look = self.look(distant.run, distant.place)?;
        if look.state.is_final()
            && let Some(outcome) = self.outcome(distant.run, distant.place)?
        {
            let report = match look.value_of {
                Some(from) => Report::cached(outcome, from),
                None => Report::new(outcome, look.usage),
            };
            return Ok(Seen::Ended(report, look.state));
        }
        distant.promise.mirror(look.state.clone(), look.attempts);
        Ok(Seen::Stands(look.state))
    }

    /// Looks at every run once. Whether any has changed.
    fn round(&self, last: &mut HashMap<u64, State>) -> bool {
        // Without the lock while the records are read: more may be attached meanwhile.
        let mut runs = std::mem::take(&mut self.cared.lock().runs);
        // A run is no less on its way when nobody here asks for it any more; a request to cancel
        // it is passed on all the same.
        runs.retain(|_, distant| {
            let asks = distant.promise.cancel_token().is_cancelled() && !distant.asked;
            distant.promise.is_wanted() || asks
        });
        last.retain(|number, _| runs.contains_key(number));
        let mut changed = false;
        let mut ended = Vec::new();
        for (number, distant) in &mut runs {
            match self.see(distant) {
                Ok(Seen::Ended(report, state)) => ended.push((*number, report, state)),
                Ok(Seen::Stands(state)) => {
                    changed |= last.get(number) != Some(&state);
                    last.insert(*number, state);
                }
                // The flow run was deleted: nobody will ever say how its runs ended.
                Err(error @ StoreError::NoSuchFlow { .. }) => {
                    let end = sandmill_wire::End::new(
                        sandmill_wire::EndKind::HostError,
                        format!("its record is gone: {error}"),
                    );
                    let outcome = Outcome::Ended(end);
                    let now = sandmill_core::Clock::system().now();
                    let state = State::from_outcome(&outcome, now);
                    ended.push((*number, Report::new(outcome, Usage::default()), state));
                }
                // A store that cannot be read for a moment is looked at again.
                Err(_) => {}
            }
        }
        changed |= !ended.is_empty();
        for (number, report, state) in ended {
            if let Some(distant) = runs.remove(&number) {
                distant.promise.finish_as(report, state);
            }
        }
        self.cared.lock().runs.extend(runs);
        changed
    }
}

/// There was a record of the run, and it is not there now.
pub(super) fn gone(run: RunId) -> StoreError {
    StoreError::Corrupt { what: format!("the record of run {run}") }
}

/// What became of a run since it was looked at last.
enum Seen {
    Ended(Report, State),
    Stands(State),
}

/// Looks again and again until nothing is left to look after.
fn watch(watcher: &Watcher) {
    let mut last = HashMap::new();
    let mut pause = ATTACH_POLL_LEAST;
    loop {
        pause = if watcher.round(&mut last) { ATTACH_POLL_LEAST } else { pause * 2 };
        pause = pause.min(ATTACH_POLL_MOST);
        let mut cared = watcher.cared.lock();
        if cared.runs.is_empty() {
            cared.watched = false;
            return;
        }
        if !watcher.changed.wait_for(&mut cared, pause).timed_out() {
            pause = ATTACH_POLL_LEAST;
        }
    }
}
