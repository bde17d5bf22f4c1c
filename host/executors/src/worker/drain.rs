//! How a worker leaves: it takes nothing new, gives back what has not started, lets what runs end,
//! waits for its reports to be taken, and says goodbye.

use std::time::Duration;

use sandmill_transport::message::{Goodbye, RunLease};
use tokio::time::Instant;
use uuid::Uuid;

use super::config::{CANCEL_PATIENCE, LAST_WORDS};
use super::session::Phase;
use super::state::{Stage, State};
use super::worker::Worker;

impl Worker {
    /// Takes no new runs and gives back what has not started; ready when everything that runs has
    /// ended, or was cancelled because that took longer than `grace`, and its reports were taken or
    /// [`LAST_WORDS`] have passed. The second call has all of this done at once, and is ready when
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
        // A coordinator without a link may come back, but not to a worker that leaves.
        let taken = |state: &State| {
            state.sessions.values().all(|session| session.link.is_none() || session.runs.is_empty())
        };
        tokio::select! {
            () = self.until(LAST_WORDS, taken) => {}
            () = self.shared.hurry.cancelled() => {
                // What has just ended is said at least, if there is anybody to hear it.
                self.until(Duration::from_millis(100), taken).await;
            }
        }
        self.shared.state.lock().close_all();
        self.until(LAST_WORDS, |state| state.open_links == 0).await;
        self.shared.stop();
        self.shared.bells.changed.notify_waiters();
    }

    /// Ready when the worker has left, whoever had it drain.
    pub async fn left(&self) {
        self.until(Duration::MAX, |state| state.stage == Stage::Closed).await;
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

    /// Asks everything in slots to stop.
    fn cancel_all(&self) {
        for slot in self.slots.iter().flatten() {
            slot.attending.cancel.cancel();
        }
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
