//! The thread that tells what became of tickets: states, lines, ends and what follows from them (a
//! retry, say). It runs what users bring along (observers, wakers), which may take its time, so that
//! whatever carries tickets never does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{JoinHandle, ThreadId};

use parking_lot::{Condvar, Mutex};
use sandmill_core::{EventKind, Invoker, Report, Timestamp};
use tokio::sync::Notify;

use super::ticket::{Held, Inner, Route};
use crate::attempt::Tried;
use crate::pool::{Place, Queue, become_place};

/// Words that may wait to be told before [`Ends::calm`] has a fleet wait.
pub(super) const MAX_WORDS: usize = 16_384;

/// Words taken off the line at a time.
const BATCH: usize = 256;

/// What a fleet said of a ticket.
pub(super) enum Word {
    Started(Arc<Inner>),
    Waits(Arc<Inner>, Arc<str>),
    Event(Arc<Inner>, Box<EventKind>),
    Finished(Arc<Inner>, Box<Report>),
    Expired(Arc<Inner>),
}

/// The words that wait to be told.
pub(super) struct Ends {
    line: Mutex<Line>,
    spoken: Condvar,
    told: Notify,
    queue: Weak<Queue>,
    /// Knows the most memory that an attempt may be given, for retries with more.
    invoker: Arc<dyn Invoker>,
    thread: OnceLock<ThreadId>,
}

#[derive(Default)]
struct Line {
    words: VecDeque<Word>,
    closed: bool,
}

impl Ends {
    /// Starts the thread.
    pub(super) fn spawn(
        queue: &Arc<Queue>,
        invoker: &Arc<dyn Invoker>,
    ) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let ends = Arc::new(Self {
            line: Mutex::default(),
            spoken: Condvar::new(),
            told: Notify::new(),
            queue: Arc::downgrade(queue),
            invoker: Arc::clone(invoker),
            thread: OnceLock::new(),
        });
        let teller = Arc::clone(&ends);
        let thread =
            std::thread::Builder::new().name("sandmill-ends".to_owned()).spawn(move || {
                let _ = teller.thread.set(std::thread::current().id());
                while teller.tell(true) {}
            })?;
        Ok((ends, thread))
    }

    /// Whether this is the thread that tells.
    pub(super) fn is_this_thread(&self) -> bool {
        self.thread.get() == Some(&std::thread::current().id())
    }

    /// Puts a word at the end. Never blocks.
    pub(super) fn say(&self, word: Word) {
        let mut line = self.line.lock();
        let first = line.words.is_empty();
        line.words.push_back(word);
        drop(line);
        if first {
            self.spoken.notify_one();
        }
    }

    /// Ready when few words wait.
    pub(super) async fn calm(&self) {
        loop {
            let told = self.told.notified();
            let mut told = std::pin::pin!(told);
            told.as_mut().enable();
            if self.is_calm() {
                return;
            }
            told.await;
        }
    }

    fn is_calm(&self) -> bool {
        let line = self.line.lock();
        line.words.len() < MAX_WORDS || line.closed
    }

    /// No more words come: the thread tells those that are there, and ends.
    pub(super) fn close(&self) {
        self.line.lock().closed = true;
        self.spoken.notify_all();
        self.told.notify_waiters();
    }

    /// Tells the words that are there; with `wait`, blocks until there are some. False when there
    /// will be none any more.
    fn tell(&self, wait: bool) -> bool {
        let mut line = self.line.lock();
        while wait && line.words.is_empty() && !line.closed {
            self.spoken.wait(&mut line);
        }
        let over = line.closed;
        let mut ended = 0;
        // Not all at once: where telling one of them runs into an abort, that goes on with the rest.
        for _ in 0..BATCH {
            let Some(word) = line.words.pop_front() else { break };
            let relieved = line.words.len() + 1 == MAX_WORDS;
            drop(line);
            if relieved {
                self.told.notify_waiters();
            }
            ended += usize::from(self.tell_one(word));
            line = self.line.lock();
        }
        drop(line);
        // Once for all of them: each would wake the threads that take runs in.
        if ended > 0
            && let Some(queue) = self.queue.upgrade()
        {
            queue.refill(ended);
        }
        let line = self.line.lock();
        !(over && line.words.is_empty())
    }

    /// Goes on telling until nothing is under way but in the place where this thread is: for an
    /// abort that comes from what a word ran into.
    pub(super) fn tell_until_idle(&self, queue: &Queue, but: Option<Place>) {
        while !queue.is_idle(but) {
            if !self.tell(false) {
                return;
            }
            if self.line.lock().words.is_empty() {
                queue.wait_a_little();
            }
        }
    }

    /// Tells one word; whether a run of the queue has ended with it.
    fn tell_one(&self, word: Word) -> bool {
        match word {
            Word::Event(of, kind) => of.emit(*kind),
            Word::Started(of) => {
                if let Route::Queue(held) = &of.route {
                    guarded(|| held.start());
                }
            }
            Word::Waits(of, reason) => {
                if let Route::Queue(held) = &of.route {
                    guarded(|| held.wait_for(reason));
                }
            }
            Word::Finished(of, report) => match &of.route {
                Route::Queue(held) => return self.conclude(held, Some(*report)),
                Route::Lane(answer) => answer.give(*report),
            },
            Word::Expired(of) => match &of.route {
                Route::Queue(held) => return self.conclude(held, None),
                Route::Lane(answer) => answer.give(of.expiry()),
            },
        }
        false
    }

    /// Ends the attempt at a run of the queue; without a report, because it was not started in time.
    fn conclude(&self, held: &Held, report: Option<Report>) -> bool {
        let Some(queue) = self.queue.upgrade() else { return false };
        let place = Place::Out(held.number);
        let outside = become_place(&queue, Some(place));
        guarded(|| {
            let Some(job) = held.job.lock().take() else { return };
            let Some(report) = report else { return job.expire() };
            let started = *held.started.lock();
            let ended = job.events().clock().now();
            let started = match started {
                Some(started) => started,
                // Nobody said so, or it came to an end before.
                None if !job.start() => return,
                None => before(ended, report.usage.wall_micros),
            };
            let tried = Tried { started, ended };
            if let Some(delayed) = job.conclude(report, tried, || self.invoker.max_memory()) {
                queue.delay(delayed);
            }
        });
        become_place(&queue, outside);
        queue.out_ended_among(held.number);
        true
    }
}

impl Held {
    fn start(&self) {
        let mut started = self.started.lock();
        let job = self.job.lock();
        if let (Some(job), None) = (&*job, &*started)
            && job.start()
        {
            *started = Some(job.events().clock().now());
        }
    }

    fn wait_for(&self, reason: Arc<str>) {
        if let Some(job) = &*self.job.lock() {
            job.wait_for(reason);
            *self.started.lock() = None;
        }
    }
}

/// What users bring along may panic; that harms nobody else.
fn guarded(tell: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(tell)));
}

/// So many microseconds earlier.
fn before(moment: Timestamp, micros: u64) -> Timestamp {
    Timestamp::from_micros(moment.as_micros().saturating_sub(micros))
}
