//! The threads of a pool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use sandmill_core::Invoker;

use super::out::{Place, become_place};
use super::queue::Queue;

/// Starts one thread a slot; when one cannot be had, those that were are stopped again.
pub(super) fn spawn(
    count: usize,
    queue: &Arc<Queue>,
    invoker: &Arc<dyn Invoker>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(count);
    for slot in 0..count {
        let (slot_queue, invoker) = (Arc::clone(queue), Arc::clone(invoker));
        let started = std::thread::Builder::new()
            .name(format!("sandmill-slot-{slot}"))
            .spawn(move || serve(slot, &slot_queue, &*invoker));
        match started {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                queue.stop();
                return Err(error);
            }
        }
    }
    Ok(threads)
}

fn serve(slot: usize, queue: &Queue, invoker: &dyn Invoker) {
    become_place(queue, Some(Place::Slot(slot)));
    loop {
        // What users bring along runs here too (the drop of an iterator, say): one that panics
        // must not cost the pool a slot.
        let served = catch_unwind(AssertUnwindSafe(|| {
            let job = queue.take(slot)?;
            if let Some(delayed) = job.run(invoker) {
                queue.delay(delayed);
            }
            Some(())
        }));
        queue.ended(slot);
        if matches!(served, Ok(None)) {
            return;
        }
    }
}
