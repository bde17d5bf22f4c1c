//! What a flow wants to be called back for, and when that happens. A guest has one thread and the
//! host calls nothing in it, so callbacks run between a flow's own steps.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::future::AnyFuture;
use super::host;
use crate::Failure;

type Callback = Box<dyn FnOnce()>;

/// The callbacks of one flow.
struct Callbacks {
    set: host::Completions,
    /// By the id of the run, in the order in which they were added.
    waiting: BTreeMap<String, (AnyFuture, Vec<Callback>)>,
}

thread_local! {
    /// Those of the flows under way, innermost last: outside of a host a sub-flow runs inside the
    /// flow that calls it.
    static CALLBACKS: RefCell<Vec<Option<Callbacks>>> = const { RefCell::new(Vec::new()) };
}

/// Has `callback` called once the run has ended.
pub(super) fn add(future: &AnyFuture, callback: impl FnOnce() + 'static) {
    CALLBACKS.with_borrow_mut(|flows| {
        if flows.is_empty() {
            // A flow that a test calls as a plain function.
            flows.push(None);
        }
        let flow = flows.last_mut().expect("there is one now");
        let callbacks = flow.get_or_insert_with(|| Callbacks {
            set: host::Completions::new(),
            waiting: BTreeMap::new(),
        });
        callbacks
            .waiting
            .entry(future.id())
            .or_insert_with(|| {
                callbacks.set.add(future.handle());
                (future.clone(), Vec::new())
            })
            .1
            .push(Box::new(callback));
    });
}

/// Runs the callbacks of the runs that have ended, in the order in which they ended.
pub(super) fn run_due() {
    while let Some(callbacks) = next(Some(0)) {
        for callback in callbacks {
            callback();
        }
    }
}

/// The callbacks of the next run that ends within `timeout`.
fn next(timeout: Option<u64>) -> Option<Vec<Callback>> {
    CALLBACKS.with_borrow_mut(|flows| {
        let flow = flows.last_mut()?.as_mut()?;
        if flow.waiting.is_empty() {
            return None;
        }
        let completed = flow.set.next(timeout).ok().flatten()?;
        let (_, callbacks) = flow.waiting.remove(&completed.future.id())?;
        Some(callbacks)
    })
}

/// Takes the innermost flow down even if it panics.
struct FlowGuard;

impl Drop for FlowGuard {
    fn drop(&mut self) {
        let flow = CALLBACKS.with_borrow_mut(Vec::pop);
        drop(flow);
    }
}

/// Runs a flow's function, and then the callbacks that are left.
///
/// # Errors
/// What the flow returned.
pub fn run_flow(flow: impl FnOnce() -> Result<Vec<u8>, Failure>) -> Result<Vec<u8>, Failure> {
    CALLBACKS.with_borrow_mut(|flows| flows.push(None));
    let _guard = FlowGuard;
    let result = flow();
    if result.is_err() {
        // A callback may have added more by then; those wait like the others.
        let left: Vec<AnyFuture> = CALLBACKS.with_borrow(|flows| {
            let flow = flows.last().and_then(Option::as_ref);
            flow.map_or_else(Vec::new, |flow| {
                flow.waiting.values().map(|(future, _)| future.clone()).collect()
            })
        });
        left.iter().for_each(AnyFuture::cancel);
    }
    while let Some(callbacks) = next(None) {
        for callback in callbacks {
            callback();
        }
    }
    result
}
