//! Ctrl-C and its relatives. The first asks what is under way to stop; the second leaves at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::exit_code;

type Hook = Box<dyn FnOnce() + Send>;

static RECEIVED: AtomicUsize = AtomicUsize::new(0);
static HOOKS: Mutex<Vec<Hook>> = Mutex::new(Vec::new());

/// Listens from now on. What cannot be listened to ends the process, as it would have before.
pub(crate) fn listen() {
    // An error means that somebody listens already or the system has no signals: then Ctrl-C
    // ends the process, which is right too.
    let _ = ctrlc::set_handler(|| {
        if RECEIVED.fetch_add(1, Ordering::SeqCst) > 0 {
            leave();
        }
        // A hook may wait for guests to stop, and the second Ctrl-C must not wait for the hook.
        let hooks = std::mem::take(&mut *HOOKS.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = std::thread::Builder::new()
            .name("sandmill-interrupt".to_owned())
            .spawn(move || hooks.into_iter().for_each(|hook| hook()));
    });
}

/// Has signals change nothing from now on: another process says when this one ends.
pub(crate) fn ignore() {
    // Where they cannot be listened to, they end the process, as they would have before.
    let _ = ctrlc::set_handler(|| {});
}

/// Whether Ctrl-C was pressed.
pub(crate) fn interrupted() -> bool {
    RECEIVED.load(Ordering::SeqCst) > 0
}

/// Calls `hook` on the first Ctrl-C; at once when that was before.
pub(crate) fn on_interrupt(hook: impl FnOnce() + Send + 'static) {
    let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    if interrupted() {
        drop(hooks);
        hook();
    } else {
        hooks.push(Box::new(hook));
    }
}

#[expect(clippy::exit, reason = "the second Ctrl-C must end the process whatever it is doing")]
fn leave() -> ! {
    std::process::exit(i32::from(exit_code::INTERRUPTED))
}
