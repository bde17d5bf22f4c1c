//! How a worker leaves: it takes nothing new, gives back what has not started, lets what runs end,
//! waits for its reports to be taken, and says goodbye.

use std::time::Duration;

use sandmill_transport::message::{Goodbye, RunLease};
use tokio::time::Instant;
use uuid::Uuid;

use super::config::{CANCEL_PATIENCE, LAST_BYTES, LAST_BYTES_PATIENCE, LAST_WORDS};
use super::session::{Held, Phase};
use super::state::{Stage, State};
use super::worker::Worker;

impl Worker {
    /// Takes no new runs and gives back what has not started; ready when everything that runs has
    /// ended, or was cancelled because that took longer than `grace`, and its reports were taken or
    /// [`LAST_WORDS`] have passed, more where large results go out meanwhile. How many were not taken is
    /// told by [`WorkerStatus::untaken`](super::WorkerStatus::untaken). The second call has all of this done at once, and is ready when
    /// the first one is. Afterwards the worker serves nobody.
    pub async fn drain(&self, grace: Duration) {
        let first = self.shared.state.lock().begin_drain();
        if !first {
            self.shared.hurry.cancel();
            self.until(CANCEL_PATIENCE + LAST_WORDS * 3, |state| state.stage == Stage::Closed)
                .await;
            return;
        }
        tokio::select! {
            () = self.until(grace, |state| !state.is_running()) => {}
            () = self.shared.hurry.cancelled() => {}
        }
        self.shared.state.lock().cancel_all();
        self.until(CANCEL_PATIENCE, |state| !state.is_running()).await;
        tokio::select! {
            () = self.until_taken() => {}
            () = self.shared.hurry.cancelled() => {
                // What has just ended is said at least, if there is anybody to hear it.
                self.until(Duration::from_millis(100), State::all_is_taken).await;
            }
        }
        self.shared.state.lock().leave_all();
        self.until(LAST_WORDS, |state| state.open_links == 0).await;
        self.shared.stop();
        self.shared.bells.changed.notify_waiters();
    }

    /// Ready when the worker has left, whoever had it drain.
    pub async fn left(&self) {
        self.until(Duration::MAX, |state| state.stage == Stage::Closed).await;
    }

    /// Ready when all reports are taken, or nothing has come of that for too long.
    async fn until_taken(&self) {
        let began = Instant::now();
        let mut end = began + LAST_WORDS;
        loop {
            self.until(end.saturating_duration_since(Instant::now()), State::all_is_taken).await;
            let state = self.shared.state.lock();
            let gave = state.result_went_out().map(Instant::from_std);
            let longer = gave.map(|at| (at + LAST_BYTES_PATIENCE).min(began + LAST_BYTES));
            match longer.filter(|end| !state.all_is_taken() && *end > Instant::now()) {
                Some(longer) => end = longer,
                None => return,
            }
        }
    }

    /// Ready when that is so of the state, or so much time has passed.
    async fn until(&self, time: Duration, is_so: impl Fn(&State) -> bool) {
        let end = Instant::now().checked_add(time);
        loop {
            let changed = self.shared.bells.changed.notified();
            if is_so(&self.shared.state.lock()) {
                return;
            }
            match end {
                Some(end) => {
                    if tokio::time::timeout_at(end, changed).await.is_err() {
                        return;
                    }
                }
                None => changed.await,
            }
        }
    }
}

impl State {
    /// Whether this is the first time.
    fn begin_drain(&mut self) -> bool {
        if self.stage != Stage::Open {
            return false;
        }
        self.stage = Stage::Draining;
        let ids: Vec<Uuid> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get(&id) else { continue };
            session.outbox.draining();
            let waiting: Vec<RunLease> = session
                .runs
                .iter()
                .filter(|(_, held)| matches!(held.phase, Phase::Waiting(_)))
                .map(|(run, held)| held.of(*run))
                .collect();
            for of in waiting {
                self.forget(id, of.run);
                self.hand_back(id, of, Some("the worker is going away".to_owned()));
            }
        }
        true
    }

    /// Whether nobody has a report to take. A coordinator without a link may come back, but not to a
    /// worker that leaves.
    fn all_is_taken(&self) -> bool {
        self.sessions.values().all(|session| session.link.is_none() || session.runs.is_empty())
    }

    /// When a part of a large result last went to a coordinator that has such to take.
    fn result_went_out(&self) -> Option<std::time::Instant> {
        let is_large =
            |held: &Held| matches!(&held.phase, Phase::Ended(kept) if kept.blob.is_some());
        let taking = self.sessions.values().filter(|it| it.runs.values().any(is_large));
        taking.filter_map(|session| session.link.as_ref()?.life.gave()).max()
    }

    /// Asks everything in slots to stop.
    fn cancel_all(&self) {
        for slot in self.slots.iter().flatten() {
            slot.attending.cancel.cancel();
        }
    }

    /// Ends all sessions, and counts what they did not take.
    fn leave_all(&mut self) {
        let kept: usize = self.sessions.values().map(|session| session.kept).sum();
        self.counters.untaken += kept as u64;
        self.close_all();
    }

    /// Ends all sessions.
    pub(super) fn close_all(&mut self) {
        let ids: Vec<Uuid> = self.sessions.keys().copied().collect();
        for id in ids {
            let goodbye = Goodbye::Leaving("the worker has left".to_owned());
            self.close(id, Some(goodbye));
        }
    }
}
