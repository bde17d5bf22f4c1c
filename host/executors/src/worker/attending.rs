//! What listens to one attempt under way and has its coordinator told: that it started, its log
//! lines, how far it has come. How it ended is in `ending`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandmill_core::{
    CancelToken, Event, EventKind, LogLevel, LogLine, LogSource, Observer, Timestamp,
};
use sandmill_transport::message::{LeaseId, Note, Noted, RunLease};
use sandmill_wire::RunId;

use super::config::{LOG_PATIENCE, MAX_LINE_BYTES};
use super::outbox::Outbox;

/// Listens to one attempt. The coordinator that it tells may change while the attempt goes on.
pub(super) struct Attending {
    run: RunId,
    to: Mutex<(LeaseId, Arc<Outbox>)>,
    pub(super) cancel: CancelToken,
    started: Timestamp,
    told: AtomicBool,
    left_out: AtomicU64,
    /// Microseconds that it has waited for the link so far.
    waited: AtomicU64,
}

impl Attending {
    pub(super) fn new(of: RunLease, outbox: &Arc<Outbox>, started: Timestamp) -> Self {
        Self {
            run: of.run,
            to: Mutex::new((of.lease, Arc::clone(outbox))),
            cancel: CancelToken::new(),
            started,
            told: AtomicBool::new(false),
            left_out: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
    }

    /// From now on tells this one, under this lease, and that it started first.
    pub(super) fn turn_to(&self, lease: LeaseId, outbox: &Arc<Outbox>) {
        *self.to.lock() = (lease, Arc::clone(outbox));
        self.told.store(false, Ordering::SeqCst);
    }

    /// Tells that the attempt started, where that was not told.
    pub(super) fn tell_started(&self) {
        if !self.told.swap(true, Ordering::SeqCst) {
            let (of, outbox) = self.to();
            outbox.note_surely(Noted { of, at: self.started, note: Note::Started });
        }
    }

    /// Has the next link told anew that the attempt started.
    pub(super) fn tell_anew(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    /// Tells how many lines were left out, if any were; the attempt says nothing more after this.
    /// How many they were.
    pub(super) fn close(&self, at: Timestamp) -> u64 {
        let left_out = self.left_out.swap(0, Ordering::SeqCst);
        if left_out > 0 {
            let (of, outbox) = self.to();
            outbox.note_surely(Noted { of, at, note: left_out_line(left_out) });
        }
        left_out
    }

    fn to(&self) -> (RunLease, Arc<Outbox>) {
        let to = self.to.lock();
        (RunLease { run: self.run, lease: to.0 }, Arc::clone(&to.1))
    }

    fn log(&self, at: Timestamp, line: &LogLine) {
        self.tell_started();
        let (of, outbox) = self.to();
        let waited = Duration::from_micros(self.waited.load(Ordering::Relaxed));
        // A cancelled attempt must not be held up by what it says.
        let patience = if self.cancel.is_cancelled() {
            Duration::ZERO
        } else {
            LOG_PATIENCE.saturating_sub(waited)
        };
        let began = Instant::now();
        let note = Note::Log(cut(line));
        if !outbox.note(Noted { of, at, note }, patience) {
            self.left_out.fetch_add(1, Ordering::SeqCst);
        }
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Less is the cost of saying it, not a wait.
        if took >= 1_000 {
            self.waited.fetch_add(took, Ordering::Relaxed);
        }
    }
}

impl Observer for Attending {
    fn on_event(&self, event: &Event) {
        match &event.kind {
            EventKind::Log(line) => self.log(event.at, line),
            EventKind::Progress(progress) => {
                self.tell_started();
                let (of, outbox) = self.to();
                let note = Note::Progress(progress.clone());
                // The next one says more than this one would have.
                let _ = outbox.note(Noted { of, at: event.at, note }, Duration::ZERO);
            }
            _ => {}
        }
    }
}

fn left_out_line(lines: u64) -> Note {
    let what = if lines == 1 { "1 line was".to_owned() } else { format!("{lines} lines were") };
    Note::Log(LogLine {
        source: LogSource::Host,
        level: LogLevel::Warn,
        message: format!(
            "{what} left out of this log: the link to its coordinator did not keep up"
        ),
    })
}

fn cut(line: &LogLine) -> LogLine {
    let mut line = line.clone();
    if line.message.len() > MAX_LINE_BYTES {
        line.message.truncate(line.message.floor_char_boundary(MAX_LINE_BYTES));
        line.message.push('…');
    }
    line
}
