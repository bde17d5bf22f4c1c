//! The executor's end of a run: what it uses to say that the run started and how it ended.

use std::sync::Arc;
use std::time::Duration;

use sandmill_wire::{End, EndKind, RunId};

use super::TaskFuture;
use super::feed::MapFeed;
use super::shared::Shared;
use crate::units::format_duration;
use crate::{AttemptEnd, Call, CancelToken, EventKind, Events, Report, State, Submitted};

/// The executor's end of a run. An executor that drops it without ending the run has a fault; the
/// run then ends as `host-error`, so that nobody waits for ever.
pub struct Promise {
    shared: Arc<Shared>,
    feed: Option<Arc<MapFeed>>,
}

impl Promise {
    /// A new run of `call`, waiting for a slot, and the handle on it.
    #[must_use]
    pub fn new(call: &Call, events: &Events) -> (Self, TaskFuture) {
        Self::with_id(call.run.unwrap_or_default(), call, events)
    }

    /// As [`Promise::new`], for a run that has its id already.
    #[must_use]
    pub fn with_id(id: RunId, call: &Call, events: &Events) -> (Self, TaskFuture) {
        let submitted = Submitted {
            name: call.run_name(),
            stage: Arc::clone(call.stage()),
            map_index: call.map_index,
            parent: call.options.parent,
            component: Some(call.component.digest()),
        };
        let cancel = call.options.cancel.as_ref().map(CancelToken::child).unwrap_or_default();
        let now = events.clock().now();
        let left = call.wait_left(id, now);
        let waits = left.map(|left| State::awaiting_retry(now, words_of_wait(call, left)));
        Self::make(id, submitted, call.options.detach, (call.attempts_made, waits), cancel, events)
    }

    /// A run that is not a call's but has calls below it: the run of a flow.
    #[must_use]
    pub fn of_flow(id: RunId, name: &str, events: &Events) -> (Self, TaskFuture) {
        Self::make(id, named(name), false, (0, None), CancelToken::new(), events)
    }

    /// A run that is not a component's task but belongs among such runs: a sub-flow, or a command
    /// around a flow. It is cancelled with `cancel`.
    #[must_use]
    pub fn of_part(
        id: RunId,
        submitted: Submitted,
        cancel: CancelToken,
        events: &Events,
    ) -> (Self, TaskFuture) {
        Self::make(id, submitted, false, (0, None), cancel, events)
    }

    /// A run that another process has, and that stood so when it was last looked at. Whoever looks
    /// again says so ([`Promise::mirror`], [`Promise::finish_as`]). It ends here when that process
    /// says that it has ended, and never before: also a cancel only asks. Its handles come and go
    /// without ending it.
    #[must_use]
    pub fn of_distant(
        id: RunId,
        name: Arc<str>,
        map_index: Option<u64>,
        state: State,
        attempts: u32,
    ) -> (Self, TaskFuture) {
        let events = Events::default();
        let shared = Shared::new(id, name, map_index, true, 0, CancelToken::new(), events);
        let shared = Arc::new(shared.at_a_distance(state, attempts));
        (Self { shared: Arc::clone(&shared), feed: None }, TaskFuture { shared })
    }

    /// Says where a run stands that another process has.
    pub fn mirror(&self, state: State, attempts: u32) {
        self.shared.mirror(state, attempts);
    }

    /// Whether anybody holds a handle on the run still, or wants to be told of its end.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.shared.is_wanted()
    }

    /// Says how a run ended that another process has, and in what state it is since.
    pub fn finish_as(self, report: Report, state: State) {
        self.shared.finish_as(report, state);
    }

    /// A run that has ended before it started, and that stands for calls that were never made.
    pub(super) fn broken(name: &str, end: End, events: &Events) -> TaskFuture {
        let (promise, future) =
            Self::make(RunId::new(), named(name), false, (0, None), CancelToken::new(), events);
        promise.finish(Report::unstarted(end));
        future
    }

    fn make(
        id: RunId,
        submitted: Submitted,
        detach: bool,
        (attempts, waits): (u32, Option<State>),
        cancel: CancelToken,
        events: &Events,
    ) -> (Self, TaskFuture) {
        let name = Arc::clone(&submitted.name);
        let index = submitted.map_index;
        events.emit(id, || EventKind::Submitted(submitted));
        let events_of_run = events.clone();
        let mut shared = Shared::new(id, name, index, detach, attempts, cancel, events_of_run);
        if let Some(waits) = waits {
            shared.begin_in(waits);
        }
        let shared = Arc::new(shared);
        events.emit(id, || EventKind::State(shared.state()));
        (Self { shared: Arc::clone(&shared), feed: None }, TaskFuture { shared })
    }

    /// A run that has ended before it started, because `end` says so.
    #[must_use]
    pub fn refused(call: &Call, events: &Events, message: impl Into<String>) -> TaskFuture {
        let (promise, future) = Self::new(call, events);
        promise.finish(Report::unstarted(End::new(EndKind::Refused, message)));
        future
    }

    pub(super) fn of_feed(mut self, feed: Arc<MapFeed>) -> Self {
        self.feed = Some(feed);
        self
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.shared.id
    }

    /// What tells the attempt to stop.
    #[must_use]
    pub fn cancel_token(&self) -> &CancelToken {
        &self.shared.cancel
    }

    /// Where the run's events go.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Says that the run starts: its first attempt, or its next one. False when it has ended
    /// already (it was cancelled while it waited): then it must not run.
    #[must_use]
    pub fn start(&self) -> bool {
        self.shared.start()
    }

    /// Says for what the run waits: for a host that could take it, say. A run whose attempt was under
    /// way and is to be made elsewhere, because its host was lost, waits again; that attempt does not
    /// count. Told only when the reason changes.
    pub fn wait_for(&self, reason: impl Into<Arc<str>>) {
        self.shared.wait_for(reason.into());
    }

    /// Says that the attempt under way has ended so, and that the run will be tried again; `cause`
    /// tells a person why, and when. The next attempt begins with [`Promise::start`]. False, and
    /// nobody is told, when the run was asked to stop meanwhile: then it is not tried again, and
    /// has to be ended.
    #[must_use]
    pub fn await_retry(
        &self,
        cause: impl Into<Arc<str>>,
        ended: impl FnOnce() -> AttemptEnd,
    ) -> bool {
        self.shared.await_retry(cause.into(), ended)
    }

    /// Says how the run ended. Only the first word counts.
    pub fn finish(self, report: Report) {
        self.shared.finish(report);
    }

    /// Ends a run that waits for a slot or for its next attempt as cancelled.
    pub fn cancel(self) {
        self.shared.cancel();
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.shared.is_done() {
            let end =
                End::new(EndKind::HostError, "the executor let go of the run before it ended");
            self.shared.finish(Report::unstarted(end));
        }
        if let Some(feed) = self.feed.take() {
            feed.run_ended(&self.shared);
        }
    }
}

fn named(name: &str) -> Submitted {
    let name: Arc<str> = name.into();
    Submitted { stage: Arc::clone(&name), name, map_index: None, parent: None, component: None }
}

/// Why a run waits that was taken up before it was due.
fn words_of_wait(call: &Call, left: Duration) -> String {
    let next = call.attempts_made.saturating_add(1);
    // To the millisecond: the moment is another for whoever reads it anyway.
    let left = Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1));
    format!("attempt {next} in {}, as was said before it was taken up", format_duration(left))
}
