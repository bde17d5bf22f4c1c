//! The threads of a worker: one a slot, one that keeps time, and those that compile, which come
//! and go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use sandmill_core::{Component, Report};
use sandmill_wire::{Digest, End, EndKind};

use super::ending::wrap;
use super::shared::Shared;
use super::state::{Job, Stage};

/// Starts the slots and the timer.
pub(super) fn spawn(shared: &Arc<Shared>) -> std::io::Result<()> {
    let slots = (0..shared.config.slots).map(|slot| {
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .name(format!("sandmill-slot-{slot}"))
            .spawn(move || serve(&shared, slot))
    });
    let started = slots.collect::<std::io::Result<Vec<_>>>().and_then(|_| {
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .name("sandmill-timer".to_owned())
            .spawn(move || keep_time(&shared))
    });
    if let Err(error) = started {
        shared.stop();
        return Err(error);
    }
    Ok(())
}

fn serve(shared: &Shared, slot: usize) {
    while let Some(job) = take(shared, slot) {
        // An invoker does not panic; one that does costs its run alone.
        let report = catch_unwind(AssertUnwindSafe(|| job.invoke(&*shared.invoker)))
            .unwrap_or_else(|_| {
                Report::unstarted(End::new(EndKind::HostError, "the invoker panicked"))
            });
        let Report { outcome, usage, .. } = report;
        let wrapped = wrap(outcome);
        shared.state.lock().ended(slot, &job, wrapped, usage);
    }
}

fn take(shared: &Shared, slot: usize) -> Option<Job> {
    let mut state = shared.state.lock();
    loop {
        if state.stage == Stage::Closed {
            return None;
        }
        if let Some(job) = state.next_job(slot) {
            return Some(job);
        }
        state.idle += 1;
        shared.bells.work.wait(&mut state);
        state.idle -= 1;
    }
}

fn keep_time(shared: &Arc<Shared>) {
    let mut state = shared.state.lock();
    while state.stage != Stage::Closed {
        let next = state.tick(Instant::now());
        while state.components.compilers < shared.config.compiles
            && let Some((digest, bytes)) = state.components.queue.pop_front()
        {
            state.components.compilers += 1;
            let own = Arc::clone(shared);
            let started = std::thread::Builder::new()
                .name("sandmill-compile".to_owned())
                .spawn(move || compile(&own, digest, bytes));
            if let Err(error) = started {
                state.components.compilers -= 1;
                let words = format!("no thread could be had to compile the component: {error}");
                state.prepared(digest, Err(End::new(EndKind::HostError, words)));
            }
        }
        state.timer_at = next;
        match next {
            Some(next) => {
                shared.bells.timer.wait_until(&mut state, next);
            }
            None => shared.bells.timer.wait(&mut state),
        }
    }
}

/// Compiles what waits to be compiled, this first, until nothing does.
fn compile(shared: &Shared, digest: Digest, bytes: bytes::Bytes) {
    let mut next = Some((digest, bytes));
    while let Some((digest, bytes)) = next {
        let end = catch_unwind(AssertUnwindSafe(|| {
            let component = Component::new(bytes, format!("a coordinator ({})", digest.short()));
            shared.invoker.prepare(&component).map(|_| component)
        }));
        let end = end.unwrap_or_else(|_| {
            Err(End::new(EndKind::HostError, "the invoker panicked on the component"))
        });
        let mut state = shared.state.lock();
        state.prepared(digest, end);
        next = state.components.queue.pop_front();
        if next.is_none() {
            state.components.compilers -= 1;
        }
    }
}

impl Shared {
    /// Has all threads end as soon as what they do has ended.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stage = Stage::Closed;
        drop(state);
        self.bells.work.notify_all();
        self.bells.timer.notify_all();
    }
}
