//! What the coordinator does with workers that behave in ways that real ones do seldom: played ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::executor::block_on;
use sandmill_core::{Call, Executor, Grants, Invoker, Limits, StartContext, StateType};
use sandmill_executors::remote::HostState;
use sandmill_executors::remote::direct::{Connected, DirectConfig, MAX_REFUSED, Way, WayError};
use sandmill_executors::worker::{MAX_WORKER_SLOTS, WorkerConfig};
use sandmill_transport::message::{Ending, MAX_INLINE};
use sandmill_transport::message::{FromWorker, Hello, LeaseId, RunLease, RunReport, ToWorker};
use sandmill_wire::{End, EndKind, RunId, Value};

use crate::played::{PlayedWay, WHILE, of, over};
use crate::support::{LONG, Script, call, kind_of, message_of, value, with};
use crate::ways::MemoryWay;

/// A lease that does not run out while a test goes on.
const NEVER: Duration = Duration::from_secs(3_600);
/// One that does.
const SHORT: Duration = Duration::from_millis(1_500);

fn patient(patience: Duration) -> Call {
    with(call("t"), |o| o.queue_timeout = Some(patience))
}

/// A call that may change something outside, with arguments that go by digest where they are large.
fn once(bytes: usize) -> Call {
    let large = "x".repeat(bytes);
    let arguments = Value::encode(&std::collections::BTreeMap::from([("x", large)])).unwrap();
    with(Call { arguments, ..call("t") }, |o| {
        o.grants = Grants { net: vec!["a:1".parse().unwrap()], ..Grants::default() };
    })
}

#[test]
fn a_run_that_had_started_when_its_patience_ended_goes_on() {
    let way = PlayedWay::new("a", 1);
    let executor = over(&[Arc::clone(&way)], NEVER);
    let mut link = way.link();
    let future = executor.submit(patient(WHILE));
    let order = link.order();
    // It is asked back, and not stopped.
    assert_eq!(link.asked(LONG), Some(ToWorker::Recall(vec![of(&order)])));
    link.started(&order);
    assert_eq!(link.asked(WHILE), None);
    assert!(!future.is_done());
    link.returned(&order);
    assert_eq!(future.result(Some(LONG)).unwrap().decode::<u64>().unwrap(), 7);
    // One that comes back was not started in its time.
    let future = executor.submit(patient(WHILE));
    let order = link.order();
    assert_eq!(link.asked(LONG), Some(ToWorker::Recall(vec![of(&order)])));
    link.hand_back(&order, None);
    assert_eq!(kind_of(&future), Some(EndKind::TimedOut));
    assert!(message_of(&future).contains("waited 700ms for a slot"), "{}", message_of(&future));
    executor.abort();
}

#[test]
fn what_is_asked_back_is_asked_again_when_the_link_was_broken() {
    let way = PlayedWay::new("a", 1);
    let executor = over(&[Arc::clone(&way)], NEVER);
    let mut link = way.link();
    let future = executor.submit(patient(WHILE));
    let order = link.order();
    way.welcome.lock().runs = vec![of(&order)];
    way.is_away.store(true, Ordering::SeqCst);
    link.cut();
    // Its time ends while there is no link; it was started before.
    thread::sleep(2 * WHILE);
    way.is_away.store(false, Ordering::SeqCst);
    let link = way.link();
    assert_eq!(link.asked(LONG), Some(ToWorker::Recall(vec![of(&order)])));
    link.started(&order);
    link.returned(&order);
    assert!(future.result(Some(LONG)).is_ok());
    executor.abort();
}

#[test]
fn a_run_that_ran_for_long_has_its_patience_anew_when_its_host_is_lost() {
    let way = PlayedWay::new("a", 1);
    let executor = over(&[Arc::clone(&way)], NEVER);
    let mut link = way.link();
    let future = executor.submit(patient(3 * WHILE));
    let order = link.order();
    link.started(&order);
    thread::sleep(4 * WHILE);
    link.leave();
    let mut link = way.link();
    let again = link.order();
    assert!(again.lease > order.lease);
    assert_eq!(link.asked(WHILE), None);
    link.returned(&again);
    assert!(future.result(Some(LONG)).is_ok());
    executor.abort();
}

#[test]
fn a_run_with_effects_that_cannot_have_started_goes_elsewhere() {
    let way = PlayedWay::new("a", 1);
    way.is_slow.store(true, Ordering::SeqCst);
    let executor = over(&[Arc::clone(&way)], NEVER);
    let link = way.link();
    let future = executor.submit(once(2 * MAX_INLINE));
    // Its arguments are on their way when the link breaks.
    thread::sleep(WHILE);
    way.welcome.lock().resumed = true;
    link.cut();
    let link = way.link();
    thread::sleep(WHILE);
    assert!(!future.is_done(), "{}", message_of(&future));
    // And when the host is lost.
    link.leave();
    way.is_slow.store(false, Ordering::SeqCst);
    let mut link = way.link();
    let order = link.order();
    link.started(&order);
    // A worker that has forgotten the session may have made it.
    way.welcome.lock().resumed = false;
    link.cut();
    assert_eq!(kind_of(&future), Some(EndKind::HostLost));
    executor.abort();
}

#[test]
fn a_worker_says_whether_it_has_lost_anything_of_a_session() {
    let script = Script::new(|_| value(1));
    let way = MemoryWay::new(script as Arc<dyn Invoker>, WorkerConfig::new("a", 1));
    let hello = |session| Hello {
        versions: sandmill_transport::message::Versions::OURS,
        program: "0".to_owned(),
        name: "test".to_owned(),
        session,
        grace: LONG,
        heartbeat: Duration::from_secs(5),
    };
    crate::sockets::runtime().block_on(async {
        let session = *RunId::new().as_uuid();
        for resumed in [false, true, true] {
            let connected = way.connect(&hello(session)).await.unwrap();
            assert_eq!(connected.welcome.resumed, resumed);
            drop(connected);
            let worker = way.worker();
            while !worker.status().sessions.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
}

/// Counts connections.
struct Counted(Arc<MemoryWay>, AtomicUsize);

#[async_trait]
impl Way for Counted {
    fn address(&self) -> String {
        self.0.address()
    }

    async fn connect(&self, hello: &Hello) -> Result<Connected, WayError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.connect(hello).await
    }
}

#[test]
fn a_worker_of_two_addresses_is_left_to_its_work() {
    let script = Script::new(|attempt| {
        let end = Instant::now() + 4 * WHILE;
        while Instant::now() < end && !attempt.cancel.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
        value(u64::from(!attempt.cancel.is_cancelled()))
    });
    let invoker = Arc::clone(&script) as Arc<dyn Invoker>;
    let way = MemoryWay::new(Arc::clone(&invoker), WorkerConfig::new("a", 1));
    let ways =
        [way.twin("b"), way.twin("c")].map(|way| Arc::new(Counted(way, AtomicUsize::new(0))));
    let listed = ways.iter().map(|way| Arc::clone(way) as Arc<dyn Way>);
    let workers = sandmill_executors::remote::direct::ListedWorkers::new(listed);
    let executor = crate::sockets::executor_with(Arc::new(workers), DirectConfig::default());
    block_on(executor.start(StartContext::default())).unwrap();
    assert_eq!(executor.submit(call("t")).result(Some(LONG)).unwrap().decode::<u64>().unwrap(), 1);
    assert_eq!(script.started(), 1);
    for way in &ways {
        assert_eq!(way.1.load(Ordering::SeqCst), 1, "{}", way.address());
    }
    assert_eq!(executor.slots(), 1);
    executor.abort();
}

#[test]
fn arguments_that_are_too_large_are_not_sent() {
    let way = PlayedWay::new("a", 1);
    let executor = over(&[Arc::clone(&way)], NEVER);
    let link = way.link();
    let large = once(2 * MAX_INLINE);
    let large = with(large, |o| o.limits = Limits { input: 1_000, ..Limits::default() });
    let future = executor.submit(large);
    assert_eq!(kind_of(&future), Some(EndKind::Refused));
    let words = message_of(&future);
    assert!(words.starts_with("the arguments have ") && words.contains("the limit is"), "{words}");
    assert_eq!(link.asked(Duration::from_millis(100)), None);
    executor.abort();
}

#[test]
fn a_run_that_no_host_takes_ends_and_says_why() {
    let names: Vec<String> = (0..MAX_REFUSED).map(|n| format!("w{n}")).collect();
    for by_transfer in [false, true] {
        let ways: Vec<_> = names.iter().map(|name| PlayedWay::new(name, 1)).collect();
        ways.iter().for_each(|way| way.refuses.store(by_transfer, Ordering::SeqCst));
        let executor = over(&ways, NEVER);
        let links: Vec<_> = ways.iter().map(|way| way.link()).collect();
        let future = executor.submit(once(if by_transfer { 2 * MAX_INLINE } else { 1 }));
        let begin = Instant::now();
        while !future.is_done() {
            assert!(begin.elapsed() < LONG, "it is tried for ever");
            for link in &links {
                if let Some(ToWorker::Orders(orders)) = link.asked(Duration::from_millis(1)) {
                    orders.iter().for_each(|order| link.hand_back(order, Some("it is odd")));
                }
            }
        }
        assert_eq!(kind_of(&future), Some(EndKind::Refused));
        let why = if by_transfer { "it takes no values" } else { "it is odd" };
        let words = message_of(&future);
        assert!(words.contains("10 times hosts gave it back") && words.contains(why), "{words}");
        executor.abort();
    }
}

#[test]
fn a_cancel_and_a_deadline_end_a_run_whatever_its_host_says() {
    let way = PlayedWay::new("a", 2);
    let executor = over(&[Arc::clone(&way)], SHORT);
    let mut link = way.link();
    let late = with(call("t"), |o| o.deadline = Some(Instant::now() + WHILE));
    let late = executor.submit(late);
    let order = link.order();
    assert!(order.time_left.is_some_and(|left| left <= WHILE));
    link.started(&order);
    let cancelled = executor.submit(call("t"));
    let order = link.order();
    link.started(&order);
    cancelled.cancel();
    // The host is there all the while, and does nothing.
    assert_eq!(cancelled.wait(Some(LONG)).kind, StateType::Cancelled);
    assert_eq!(kind_of(&late), Some(EndKind::TimedOut));
    assert!(message_of(&late).contains("did not say how it ended"), "{}", message_of(&late));
    // Nor does it hold up the end of the executor.
    let _last = executor.submit(call("t"));
    let _order = link.order_after_cancels();
    let begin = Instant::now();
    executor.abort();
    assert!(begin.elapsed() < LONG);
}

#[test]
fn a_run_gets_the_time_that_is_left_when_it_goes() {
    let way = PlayedWay::new("a", 1);
    way.is_slow.store(true, Ordering::SeqCst);
    let executor = over(&[Arc::clone(&way)], NEVER);
    let mut link = way.link();
    let begin = Instant::now();
    let deadline = begin + LONG;
    let future = executor.submit(with(once(2 * MAX_INLINE), |o| o.deadline = Some(deadline)));
    thread::sleep(2 * WHILE);
    way.arrive();
    let order = link.order();
    assert!(order.time_left.is_some_and(|left| left <= LONG - 2 * WHILE), "{order:?}");
    link.returned(&order);
    assert!(future.result(Some(LONG)).is_ok());
    executor.abort();
}

#[test]
fn a_host_that_comes_back_late_goes_on_with_what_it_is_given_again() {
    let way = PlayedWay::new("a", 1);
    let executor = over(&[Arc::clone(&way)], SHORT);
    let mut link = way.link();
    let future = executor.submit(call("t"));
    let order = link.order();
    link.started(&order);
    way.welcome.lock().runs = vec![of(&order)];
    way.welcome.lock().resumed = true;
    way.is_away.store(true, Ordering::SeqCst);
    link.cut();
    let begin = Instant::now();
    while executor.hosts()[0].state != HostState::Down {
        assert!(begin.elapsed() < LONG, "it is not given up");
        thread::sleep(Duration::from_millis(1));
    }
    way.is_away.store(false, Ordering::SeqCst);
    let mut link = way.link();
    let again = link.order();
    assert!(again.run == order.run && again.lease > order.lease);
    assert_eq!(link.asked(WHILE), None, "what it goes on with is not stopped");
    link.returned(&again);
    assert!(future.result(Some(LONG)).is_ok());
    executor.abort();
}

#[test]
fn a_worker_that_says_too_much_is_not_believed_and_has_to_wait() {
    let way = PlayedWay::new("a", u32::MAX);
    let executor = over(&[Arc::clone(&way)], NEVER);
    assert_eq!(executor.slots(), MAX_WORKER_SLOTS);
    let link = way.link();
    const REPORTS: usize = 1_024;
    const MESSAGES: usize = 400;
    let report = || RunReport {
        of: RunLease { run: RunId::new(), lease: LeaseId(1) },
        ending: Ending::Ended(End::new(EndKind::Refused, "no")),
        usage: Default::default(),
    };
    let reports: Vec<_> = (0..REPORTS).map(|_| report()).collect();
    way.is_deaf.store(true, Ordering::SeqCst);
    for _ in 0..MESSAGES {
        link.say(FromWorker::Ended(reports.clone()));
    }
    // It takes nothing of what is answered: soon nothing more of it is heard.
    thread::sleep(2 * WHILE);
    let heard = way.heard.load(Ordering::SeqCst);
    assert!(heard < MESSAGES / 4, "{heard} messages were heard");
    executor.abort();
}
