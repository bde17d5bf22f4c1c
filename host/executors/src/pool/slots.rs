//! The threads of a pool.

use std::sync::Arc;
use std::thread::JoinHandle;

use sandmill_core::Invoker;

use super::queue::Queue;
use crate::attempt;

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
                (slot..count).for_each(|_| queue.slot_gone());
                queue.stop();
                return Err(error);
            }
        }
    }
    Ok(threads)
}

fn serve(slot: usize, queue: &Queue, invoker: &dyn Invoker) {
    while let Some((call, promise)) = queue.take(slot) {
        attempt::run(invoker, &call, promise);
        queue.ended(slot);
    }
    queue.slot_gone();
}
