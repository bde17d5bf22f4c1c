//! A task that costs every worker that makes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandmill_core::{Attempt, Executor, TaskFuture};
use sandmill_wire::EndKind;

use crate::failures::{Opened, served, until};
use crate::maker::Served;
use crate::server::{LONG, shared};
use crate::support::{Script, call, ended, kind_of, message_of, value, with};

#[test]
fn a_task_that_kills_its_workers_ends_as_host_lost() {
    let engine = shared().config();
    let deaths = Arc::new(AtomicUsize::new(0));
    let (own, poison) = (Arc::clone(&deaths), std::sync::mpsc::channel::<()>());
    let poison_tx = Mutex::new(poison.0);
    let script = Script::new(move |attempt: &Attempt<'_>| {
        own.fetch_add(1, Ordering::SeqCst);
        let _ = poison_tx.lock().send(());
        while !attempt.cancel.is_cancelled() {
            thread::sleep(Duration::from_millis(5));
        }
        ended(EndKind::Cancelled)
    });
    let mut worker = Some(served(&engine, &script, "a", 1));
    let opened = Opened::at(&engine, &script);
    let future = opened.executor.submit(with(call("t"), |_| ()));
    for _ in 0..3 {
        poison.1.recv_timeout(LONG).expect("it is not made again");
        // One that is not known to have it when it dies costs the run no host.
        until("nobody is known to have it", || is_running(&future));
        drop(worker.take().map(Served::die));
        until("it is not lost", || !is_running(&future));
        worker = Some(served(&engine, &script, "a", 1));
    }
    assert!(future.result(Some(LONG)).is_err());
    assert_eq!(kind_of(&future), Some(EndKind::HostLost), "{}", message_of(&future));
    assert_eq!(deaths.load(Ordering::SeqCst), 3);
    opened.executor.abort();
}

fn is_running(future: &TaskFuture) -> bool {
    future.state().name == "Running"
}

#[test]
fn a_task_that_kills_its_workers_takes_no_neighbour_with_it() {
    let engine = shared().config();
    let (poison_tx, poison) = std::sync::mpsc::channel::<()>();
    let poison_tx = Mutex::new(poison_tx);
    let (beside, is_there) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (own, own_is_there) = (Arc::clone(&beside), Arc::clone(&is_there));
    let script = Script::new(move |attempt: &Attempt<'_>| {
        let is_poison = &*attempt.call.task == "poison";
        if is_poison {
            own_is_there.store(true, Ordering::SeqCst);
            let _ = poison_tx.lock().send(());
        }
        // The neighbour ends where the other does not come within a second.
        let may_end = !is_poison && own.fetch_add(1, Ordering::SeqCst) >= 2;
        let begun = Instant::now();
        while !attempt.cancel.is_cancelled() {
            let is_alone = !own_is_there.load(Ordering::SeqCst);
            if may_end && is_alone && begun.elapsed() > Duration::from_secs(1) {
                return value(7);
            }
            thread::sleep(Duration::from_millis(5));
        }
        ended(EndKind::Cancelled)
    });
    let mut worker = Some(served(&engine, &script, "a", 2));
    let opened = Opened::at(&engine, &script);
    let neighbour = opened.executor.submit(call("t"));
    let poisonous = opened.executor.submit(call("poison"));
    for death in 0..3 {
        poison.recv_timeout(LONG).expect("it is not made again");
        // One that is not known to have it when it dies costs the run no host.
        until("nobody is known to have it", || {
            let both = beside.load(Ordering::SeqCst) > death && is_running(&neighbour);
            is_running(&poisonous) && (both || death == 2)
        });
        drop(worker.take().map(Served::die));
        is_there.store(false, Ordering::SeqCst);
        until("nobody is lost", || {
            !is_running(&poisonous) && (death == 2 || !is_running(&neighbour))
        });
        worker = Some(served(&engine, &script, "a", 2));
    }
    assert_eq!(neighbour.result(Some(LONG)).unwrap().decode::<u64>().unwrap(), 7);
    assert!(poisonous.result(Some(LONG)).is_err());
    assert_eq!(kind_of(&poisonous), Some(EndKind::HostLost), "{}", message_of(&poisonous));
    opened.executor.abort();
}
