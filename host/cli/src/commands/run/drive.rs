//! A flow's run from its start to its end: the display, Ctrl-C, a full disk, and the report. The
//! same for a run that is new, resumed or repeated.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sandmill::core::units::format_duration;
use sandmill::flow_file::FlowRunFuture;
use sandmill::store::{Health, Reader, Store};
use sandmill::{End, EndKind, Host, Outcome, State};

use super::report::{FlowEnd, report};
use crate::config::ExecutorKind;
use crate::error::Result;
use crate::output::Ui;
use crate::output::moment;
use crate::output::progress::{Screen, Show, Watcher};
use crate::signals;
use crate::text::counted;

/// How often the store is asked how it is.
const HEALTH_PERIOD: Duration = Duration::from_millis(250);

/// What an interrupted flow says of itself.
const INTERRUPTED_BY: &str = "by Ctrl-C or a request to terminate";

/// Where a flow's runs happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// On which executor.
    pub(crate) kind: ExecutorKind,
    /// How many at a time.
    pub(crate) slots: usize,
}

impl Place {
    fn words(self) -> String {
        match self.kind {
            ExecutorKind::Inline => "inline".to_owned(),
            ExecutorKind::Pool => format!("in a pool of {}", counted(self.slots as u64, "slot")),
            ExecutorKind::Remote => {
                format!("on workers with {}", counted(self.slots as u64, "slot"))
            }
        }
    }
}

/// A flow's run that was started, and what it needs until it ends.
pub(crate) struct Drive<'a> {
    /// Speaks to the user.
    pub(crate) ui: &'a Arc<Ui>,
    /// Watches its events, from before it was started.
    pub(crate) watcher: &'a Watcher,
    /// Runs it.
    pub(crate) host: &'a Host,
    /// Where it is written down, if it is.
    pub(crate) store: Option<&'a Store>,
    /// Where its runs happen.
    pub(crate) place: Place,
    /// What is being done: `Running`, `Resuming`.
    pub(crate) verb: &'a str,
}

impl Drive<'_> {
    /// Shows the run until it ends, says what became of it, and with what code to exit.
    pub(crate) fn to_end(&self, future: &FlowRunFuture) -> Result<u8> {
        let started = Instant::now();
        self.say_start(future);
        let reported = future.clone();
        let screen = Screen::refreshed(
            self.ui,
            self.watcher,
            Show::Everything,
            Box::new(move |board| board.follow(&reported.report())),
        );
        self.stop_on_interrupt(future);
        let watch = self.store.map(|store| HealthWatch::start(self.ui, store));
        future.wait(None);
        drop(watch);
        screen.stop();
        let outcome = future.outcome().unwrap_or_else(lost);
        let state = match &outcome {
            // That it can go on is in the store; the future has ended.
            Outcome::Ended(end)
                if is_interruption(end) && self.store.is_some()
                    || end.kind == EndKind::HostError && self.is_left(future) =>
            {
                State::interrupted(future.state().at, end.message.as_str())
            }
            _ => future.state(),
        };
        let end = FlowEnd {
            run: future.id(),
            name: future.name(),
            state,
            outcome: &outcome,
            took: started.elapsed(),
            place: Some((self.place.kind, self.place.slots)),
            kept: self.store.is_some(),
            late_reports: Some(self.host.late_reports()),
        };
        report(self.ui, &end, &self.watcher.board())
    }

    /// Whether the flow was left because of its host, so that it can go on once that is mended.
    fn is_left(&self, future: &FlowRunFuture) -> bool {
        let read = |store: &Store| Reader::open(store.dir())?.flow(future.id());
        let record = self.store.and_then(|store| read(store).ok().flatten());
        record.is_some_and(|record| !record.state.is_final())
    }

    fn say_start(&self, future: &FlowRunFuture) {
        if !self.ui.is_human() {
            return;
        }
        let (name, place) = (future.name(), self.place.words());
        let (verb, id) = (self.verb, future.id());
        if self.store.is_some() {
            let what = format_args!("{name} as {id} {place}");
            self.ui.step(verb, what);
        } else {
            self.ui.step(verb, format_args!("{name} {place}, without history"));
        }
    }

    /// Has the first Ctrl-C stop the flow: so that it can be resumed, where it is written down.
    fn stop_on_interrupt(&self, future: &FlowRunFuture) {
        let (ui, future) = (Arc::clone(self.ui), future.clone());
        let executor = Arc::clone(self.host.executor());
        let kept = self.store.is_some();
        let watcher = self.watcher.clone();
        signals::on_interrupt(move || {
            if kept {
                watcher.board().interrupted();
                ui.talk(
                    "interrupted: stopping what is under way; press Ctrl-C again to leave at once",
                );
                future.interrupt(INTERRUPTED_BY);
            } else {
                ui.talk("interrupted: cancelling what is under way; press Ctrl-C again to leave at once");
                future.cancel();
                // A run that is not the flow's to cancel yet, because it is being submitted.
                executor.abort();
            }
        });
    }
}

/// Whether a flow's future ended because the flow was interrupted (see
/// [`FlowRunFuture::interrupt`]).
fn is_interruption(end: &End) -> bool {
    end.kind == EndKind::Cancelled && end.message.starts_with("interrupted")
}

fn lost() -> Outcome {
    End::new(EndKind::HostError, "the flow's run did not end").into()
}

/// Says when the disk is full, so that the flow waits, and when there is room again.
struct HealthWatch {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl HealthWatch {
    fn start(ui: &Arc<Ui>, store: &Store) -> Self {
        let (stop, stopped) = mpsc::channel();
        let (ui, store) = (Arc::clone(ui), store.clone());
        let thread = std::thread::Builder::new().name("sandmill-health".to_owned());
        let thread = thread.spawn(move || {
            let mut last = Health::Good;
            while stopped.recv_timeout(HEALTH_PERIOD) == Err(RecvTimeoutError::Timeout) {
                let health = store.health();
                say_change(&ui, &last, &health);
                last = health;
            }
        });
        // Without the thread nothing is said of it; the runs wait and go on all the same.
        Self { stop, thread: thread.ok() }
    }
}

fn say_change(ui: &Ui, last: &Health, health: &Health) {
    match (last, health) {
        (Health::Good, Health::Full { what, .. }) => ui.write(&format!(
            "the disk is full ({what} cannot be written): nothing new is started until there is \
             room; nothing is lost"
        )),
        (Health::Full { since, .. }, Health::Good) => {
            let waited = format_duration(moment::between(*since, moment::now()));
            ui.write(&format!("there is room on the disk again, after {waited}: going on"));
        }
        (Health::Good | Health::Full { .. }, Health::Failed(error)) => {
            ui.write(&format!("the history of runs has failed: {error}"));
        }
        _ => {}
    }
}

impl Drop for HealthWatch {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
