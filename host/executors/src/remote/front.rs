//! What an open remote executor has on this host: the queue, the threads that take runs out of it
//! as the fleet wants some, and where they go from there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use sandmill_core::{Events, Invoker};

use super::desk::Desk;
use super::ends::Ends;
use super::lane::Lanes;
use super::ticket::Ticket;
use crate::pool::{MAX_DELAYED, Place, Queue, Taken, become_place, spawn_timer, this_place};

/// Threads that take runs out of the queue. More than one, because each may be held up by a map
/// whose source is slow.
const TAKERS: usize = 4;

/// An open remote executor.
pub(super) struct Front {
    pub(super) queue: Arc<Queue>,
    pub(super) desk: Arc<Desk>,
    pub(super) ends: Arc<Ends>,
    lanes: Arc<Lanes>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Whether the executor was closed. Its lock is held while it is being closed.
    pub(super) closed: tokio::sync::Mutex<bool>,
}

impl Front {
    /// Opens the queue and starts the threads; `cached` performs the calls that ask for the cache.
    pub(super) fn open(
        capacity: usize,
        events: Events,
        cached: &Arc<dyn Invoker>,
    ) -> std::io::Result<Arc<Self>> {
        let queue = Arc::new(Queue::new(capacity, TAKERS, MAX_DELAYED, events));
        let (ends, teller) = Ends::spawn(&queue, cached)?;
        let desk = Desk::new(&queue, &ends);
        let lanes = Lanes::new(&queue, cached);
        let front = Arc::new(Self {
            queue,
            desk,
            ends,
            lanes,
            threads: Mutex::new(vec![teller]),
            closed: tokio::sync::Mutex::new(false),
        });
        let spawned = front.spawn();
        if spawned.is_err() {
            front.queue.stop();
            front.end();
        }
        spawned.map(|()| front)
    }

    fn spawn(&self) -> std::io::Result<()> {
        let mut threads = self.threads.lock();
        threads.push(spawn_timer(&self.queue)?);
        for number in 0..TAKERS {
            let taker = Taker {
                queue: Arc::clone(&self.queue),
                desk: Arc::clone(&self.desk),
                ends: Arc::clone(&self.ends),
                lanes: Arc::clone(&self.lanes),
            };
            let thread = std::thread::Builder::new()
                .name(format!("sandmill-take-{number}"))
                .spawn(move || taker.serve())?;
            threads.push(thread);
        }
        Ok(())
    }

    /// Blocks until nothing is under way but what this thread is in, if it is one of the executor's
    /// own: an abort may come from there.
    pub(super) fn wait_until_idle(&self) {
        let but = this_place(&self.queue);
        if self.ends.is_this_thread() {
            self.ends.tell_until_idle(&self.queue, but);
        } else {
            self.queue.wait_until_idle(but);
        }
    }

    /// All has ended: lets the threads go.
    pub(super) fn end(&self) {
        self.ends.close();
        self.lanes.close();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // One that is in a user's iterator, or that is this very thread, ends by itself.
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

/// Takes runs out of the queue.
struct Taker {
    queue: Arc<Queue>,
    desk: Arc<Desk>,
    ends: Arc<Ends>,
    lanes: Arc<Lanes>,
}

impl Taker {
    fn serve(&self) {
        loop {
            // What users bring along runs here too (the drop of an iterator, say): one that panics
            // must not cost the executor its intake.
            let taken = catch_unwind(AssertUnwindSafe(|| self.queue.take_out()));
            let Ok(taken) = taken else { continue };
            let Some(Taken { number, job, expires }) = taken else { return };
            if job.call().options.cache.is_some() {
                self.lanes.put(number, job);
                continue;
            }
            let before = become_place(&self.queue, Some(Place::Out(number)));
            let begun = catch_unwind(AssertUnwindSafe(|| match job.begin() {
                Ok(job) => Some(job),
                Err(delayed) => {
                    delayed.into_iter().for_each(|delayed| self.queue.delay(*delayed));
                    None
                }
            }));
            become_place(&self.queue, before);
            match begun {
                Ok(Some(job)) => self.desk.put(Ticket::of_job(number, job, expires, &self.ends)),
                Ok(None) | Err(_) => self.queue.out_ended(number),
            }
        }
    }
}
