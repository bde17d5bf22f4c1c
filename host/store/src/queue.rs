//! What waits for the writer, and who waits for it. Writing itself is not here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use sandmill_core::{CancelToken, Timestamp};

use crate::StoreError;
use crate::ask::Ask;
use crate::journal::FlowSlot;
use crate::ops::Record;

/// How many records may wait before flows are asked to make no further calls.
pub const MAX_BACKLOG: usize = 65_536;

/// How many bytes the values of waiting records may have before flows are asked to make no
/// further calls.
pub const MAX_BACKLOG_BYTES: usize = 64 * 1024 * 1024;

/// How long the writer waits for company before it commits what nobody waits for.
pub const COMMIT_DELAY: Duration = Duration::from_millis(3);

/// How often a wait looks whether it was cancelled.
const LOOK_UP: Duration = Duration::from_millis(50);

/// How the store is.
#[derive(Debug, Clone, Default)]
pub enum Health {
    /// It takes and keeps records.
    #[default]
    Good,
    /// The disk is full. Records wait, and are written as soon as there is room.
    Full {
        /// What could not be written.
        what: String,
        /// Since when.
        since: Timestamp,
    },
    /// It has failed, and records nothing any more.
    Failed(Arc<StoreError>),
}

/// One thing for the writer to do.
pub(crate) enum Op {
    /// Something that happened in a flow.
    Record(Arc<FlowSlot>, Record),
    /// A question of somebody who waits for the answer.
    Ask(Box<Ask>),
    /// A question that was answered before its turn.
    Answered,
}

impl Op {
    fn weight(&self) -> usize {
        match self {
            Self::Record(_, record) => record.weight(),
            Self::Ask(ask) => ask.weight(),
            Self::Answered => 0,
        }
    }
}

/// The queue before the writer.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Told when there is something to do.
    work: Condvar,
    /// Told when something is done, or when the health changes.
    done: Condvar,
}

#[derive(Default)]
struct State {
    ops: VecDeque<Op>,
    /// Taken by the writer and not yet on disk.
    taken: usize,
    bytes: usize,
    taken_bytes: usize,
    /// Ops that were ever pushed, and of these, those that are on disk (or were given up).
    pushed: u64,
    durable: u64,
    /// Whether somebody waits for what is in the queue.
    urgent: bool,
    closed: bool,
    /// Whether a record came too late.
    refused: bool,
    health: Health,
    wakers: Vec<Waker>,
}

impl State {
    fn has_room(&self) -> bool {
        match &self.health {
            // What has failed needs no patience: everything is dropped at once.
            Health::Failed(_) => true,
            // What is done now could not be written down, and might have to be done again.
            Health::Full { .. } => false,
            Health::Good => {
                self.ops.len() + self.taken <= MAX_BACKLOG
                    && self.bytes + self.taken_bytes <= MAX_BACKLOG_BYTES
            }
        }
    }

    fn refuses(&self) -> Option<StoreError> {
        match &self.health {
            Health::Failed(error) => Some(StoreError::Failed(Arc::clone(error))),
            _ if self.closed => Some(StoreError::Closed),
            _ => None,
        }
    }
}

impl Queue {
    /// Puts a record in the queue; drops it when nobody will write it any more. Its place: see
    /// [`Queue::durable`].
    pub(crate) fn push(&self, op: Op) -> Option<u64> {
        let mut state = self.state.lock();
        if state.refuses().is_some() {
            state.refused = true;
            // The record may be the last to hold on to something that takes the lock.
            drop(state);
            return None;
        }
        Self::add(&mut state, op);
        // A writer that lingers wakes by itself: only the first record has to tell it.
        if state.ops.len() == 1 {
            self.work.notify_one();
        }
        Some(state.pushed)
    }

    /// The last place whose record is on disk, with all before it.
    pub(crate) fn durable(&self) -> u64 {
        self.state.lock().durable
    }

    fn add(state: &mut State, op: Op) {
        state.bytes += op.weight();
        state.pushed += 1;
        state.ops.push_back(op);
    }

    /// Puts a question in the queue and has the writer hurry. On a full disk it is refused: who
    /// asks decides for itself whether to wait.
    pub(crate) fn ask(&self, ask: Box<Ask>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if let Some(refusal) = state.refuses() {
            return Err(refusal);
        }
        if let Health::Full { what, .. } = &state.health {
            return Err(StoreError::Full { what: what.clone() });
        }
        Self::add(&mut state, Op::Ask(ask));
        state.urgent = true;
        self.work.notify_one();
        Ok(())
    }

    /// Records that wait or are being written.
    pub(crate) fn backlog(&self) -> usize {
        let state = self.state.lock();
        state.ops.len() + state.taken
    }

    /// Pending while too much waits.
    pub(crate) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.has_room() {
            return Poll::Ready(());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until everything that was pushed so far is on disk.
    pub(crate) fn sync(&self, cancel: Option<&CancelToken>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let target = state.pushed;
        loop {
            // First of all: what failed may have taken with it what was pushed.
            if let Health::Failed(error) = &state.health {
                return Err(StoreError::Failed(Arc::clone(error)));
            }
            if state.durable >= target && !state.refused {
                return Ok(());
            }
            if state.closed && state.ops.is_empty() && state.taken == 0 {
                return Err(StoreError::Closed);
            }
            if matches!(state.health, Health::Full { .. })
                && cancel.is_some_and(CancelToken::is_cancelled)
            {
                return Err(StoreError::Cancelled);
            }
            if !state.urgent {
                state.urgent = true;
                self.work.notify_one();
            }
            self.done.wait_for(&mut state, LOOK_UP);
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.state.lock().health.clone()
    }

    /// No records are taken any more; the writer ends once it has written what is here.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_all();
    }

    // What follows is the writer's side.

    /// The next ops, no more than `most` and no more bytes than `most_bytes` (but at least one op);
    /// none once the queue is closed and empty.
    pub(crate) fn take(&self, most: usize, most_bytes: usize) -> Option<Vec<Op>> {
        let mut state = self.state.lock();
        while state.ops.is_empty() {
            if state.closed {
                return None;
            }
            self.work.wait(&mut state);
        }
        if !state.urgent && !state.closed && state.ops.len() < most {
            self.work.wait_for(&mut state, COMMIT_DELAY);
        }
        let (mut count, mut bytes) = (0, 0);
        for op in state.ops.iter().take(most) {
            let weight = op.weight();
            if count > 0 && bytes + weight > most_bytes {
                break;
            }
            count += 1;
            bytes += weight;
        }
        let batch: Vec<Op> = state.ops.drain(..count).collect();
        // Whoever waits, waits for something that is in the queue still.
        state.urgent = state.urgent && !state.ops.is_empty();
        state.bytes -= bytes;
        (state.taken, state.taken_bytes) = (count, bytes);
        Some(batch)
    }

    /// Everything that was taken is on disk.
    pub(crate) fn settled(&self) {
        let mut state = self.state.lock();
        state.durable += state.taken as u64;
        (state.taken, state.taken_bytes) = (0, 0);
        state.health = Health::Good;
        let wakers = self.tell(&mut state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The disk is full: waits for `patience`, or until the queue is closed. Whether it is closed.
    pub(crate) fn wait_for_room(&self, what: &str, since: Timestamp, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.health, Health::Full { .. }) {
            state.health = Health::Full { what: what.to_owned(), since };
            self.done.notify_all();
        }
        // Whoever waits for an answer does not wait for room. The place in the queue stays, since
        // what is on disk is known by how many places are.
        let mut freed = 0;
        for op in &mut state.ops {
            if let Op::Ask(ask) = op {
                ask.answer(Err(StoreError::Full { what: what.to_owned() }));
                freed += op.weight();
                *op = Op::Answered;
            }
        }
        state.bytes -= freed;
        if !state.closed {
            self.work.wait_for(&mut state, patience);
        }
        state.closed
    }

    /// The store has failed for good. Hands back what will never be written.
    pub(crate) fn fail(&self, error: &Arc<StoreError>) -> VecDeque<Op> {
        let mut state = self.state.lock();
        state.health = Health::Failed(Arc::clone(error));
        (state.taken, state.taken_bytes, state.bytes) = (0, 0, 0);
        let lost = std::mem::take(&mut state.ops);
        let wakers = self.tell(&mut state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        lost
    }

    /// Tells who waits here. Who is to be woken besides is so without the lock: whoever is woken
    /// may look at the queue at once.
    #[must_use]
    fn tell(&self, state: &mut State) -> Vec<Waker> {
        self.done.notify_all();
        if state.has_room() { std::mem::take(&mut state.wakers) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;

    use super::*;

    /// Looks at the queue when it is woken.
    struct Looker(Arc<Queue>, Sender<usize>);

    impl Wake for Looker {
        fn wake(self: Arc<Self>) {
            self.1.send(self.0.backlog()).unwrap();
        }
    }

    #[test]
    fn who_waits_for_room_may_look_at_the_queue_when_it_is_woken() {
        let queue: Arc<Queue> = Arc::default();
        (0..=MAX_BACKLOG).for_each(|_| assert!(queue.push(Op::Answered).is_some()));
        let (sender, seen) = channel();
        let waker = Waker::from(Arc::new(Looker(Arc::clone(&queue), sender)));
        assert!(queue.poll_room(&Context::from_waker(&waker)).is_pending());
        // Not on this thread: one that takes a lock it has never comes back.
        std::thread::spawn(move || {
            queue.take(10, 10);
            queue.settled();
        });
        let backlog = seen.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(backlog, MAX_BACKLOG + 1 - 10);
    }
}
