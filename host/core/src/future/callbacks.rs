//! Runs what users asked to be called when a run has ended, away from the threads that run tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};

use super::TaskFuture;
use super::shared::Shared;

pub(super) type Callback = Box<dyn FnOnce(TaskFuture) + Send>;

type Job = (TaskFuture, Vec<Callback>);

/// Calls every callback, in the order they were registered, on the callback thread.
pub(super) fn dispatch(shared: &Arc<Shared>, callbacks: Vec<Callback>) {
    if callbacks.is_empty() {
        return;
    }
    let future = TaskFuture::observing(Arc::clone(shared));
    match callback_thread() {
        Some(thread) => {
            if let Err(unsent) = thread.send((future, callbacks)) {
                call(unsent.0);
            }
        }
        // No thread could be started: late is worse than slow.
        None => call((future, callbacks)),
    }
}

/// Calls one callback on this thread; its panic becomes a line in the run's log.
pub(super) fn call_one(future: TaskFuture, callback: Callback) {
    let shared = Arc::clone(&future.shared);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback(future))) {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        shared.host_log(format!("a done callback panicked: {text}"));
    }
}

fn call((future, callbacks): Job) {
    for callback in callbacks {
        call_one(future.clone(), callback);
    }
}

/// The one thread that calls callbacks, started when the first is due. Its queue needs no bound
/// of its own: it holds at most what was registered on futures.
fn callback_thread() -> Option<&'static Sender<Job>> {
    static THREAD: OnceLock<Option<Sender<Job>>> = OnceLock::new();
    THREAD
        .get_or_init(|| {
            let (sender, receiver) = channel::<Job>();
            std::thread::Builder::new()
                .name("sandmill-callbacks".to_owned())
                .spawn(move || receiver.into_iter().for_each(call))
                .ok()
                .map(|_| sender)
        })
        .as_ref()
}
