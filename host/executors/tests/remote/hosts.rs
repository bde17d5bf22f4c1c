//! What hosts add to what all executors promise: they come, go, fall silent and are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use sandmill_core::future::OnError;
use sandmill_core::{
    Attempt, CachePolicy, Call, Events, Executor, Grants, Invoker, Limits, MapOptions, Report,
    RetryPolicy, StartContext, StartError, StateType, Usage,
};
use sandmill_executors::remote::direct::DirectConfig;
use sandmill_executors::remote::{HostState, RemoteExecutor};
use sandmill_executors::worker::WorkerConfig;
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};

use crate::maker::over;
use crate::support::{Bench, LONG, Script, call, kind_of, message_of, value, with};
use crate::ways::MemoryWay;

/// A lease that runs out soon, though not while a busy machine stands still.
const SHORT: Duration = Duration::from_secs(3);
/// A lease that does not run out while a test goes on.
const NEVER: Duration = Duration::from_secs(3_600);

fn config(lease: Duration) -> DirectConfig {
    DirectConfig {
        heartbeat: Duration::from_millis(500),
        lease,
        pending_notice_after: Duration::from_millis(20),
        ..DirectConfig::default()
    }
}

/// Runs wait until it is opened or they are cancelled.
fn gated() -> (Arc<AtomicBool>, Arc<Script>) {
    let gate = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&gate);
    let script = Script::new(move |attempt: &Attempt<'_>| {
        while !own.load(Ordering::SeqCst) {
            if attempt.cancel.is_cancelled() {
                return Report::unstarted(End::new(EndKind::Cancelled, "stopped"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        value(7)
    });
    (gate, script)
}

struct Fleet {
    bench: Bench,
    executor: Arc<RemoteExecutor>,
    ways: Vec<Arc<MemoryWay>>,
    script: Arc<Script>,
}

/// An executor over workers of these names, each with a slot.
fn fleet(script: &Arc<Script>, names: &[&str], lease: Duration) -> Fleet {
    let configs = names.iter().map(|name| WorkerConfig {
        ceiling: sandmill_core::Ceiling::unbounded(),
        ..WorkerConfig::new(*name, 1)
    });
    let invoker = Arc::clone(script) as Arc<dyn Invoker>;
    let ways: Vec<_> = configs.map(|config| MemoryWay::new(Arc::clone(&invoker), config)).collect();
    let executor = Arc::new(over(invoker, &ways, 100, config(lease)));
    let seen = Arc::clone(&executor) as Arc<dyn Executor>;
    let bench = Bench::open((seen, Arc::clone(script)), Events::default());
    Fleet { bench, executor, ways, script: Arc::clone(script) }
}

fn until(what: &str, check: impl Fn() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < LONG, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

impl Fleet {
    /// The way to the host that has the only run.
    fn busy(&self) -> usize {
        until("no host has the run", || self.executor.hosts().iter().any(|host| host.runs > 0));
        let hosts = self.executor.hosts();
        hosts.iter().position(|host| host.runs > 0).unwrap()
    }

    fn state(&self, host: usize) -> HostState {
        self.executor.hosts()[host].state
    }
}

#[test]
fn a_run_whose_host_is_lost_is_made_elsewhere_and_that_is_no_attempt() {
    let (gate, script) = gated();
    let fleet = fleet(&script, &["a", "b"], NEVER);
    assert_eq!(fleet.executor.slots(), 2);
    let future = fleet.bench.executor.submit(call("t"));
    fleet.bench.wait_for_state("Running", 1);
    let busy = fleet.busy();
    fleet.ways[busy].replace();
    until("it is not made elsewhere", || fleet.script.started() == 2);
    gate.store(true, Ordering::SeqCst);
    assert_eq!(future.result(Some(LONG)).unwrap().decode::<u64>().unwrap(), 7);
    assert_eq!(future.attempts(), 1);
    let told = fleet.bench.told(&future);
    assert_eq!((told.finals, told.attempts.len()), (1, 1));
    assert_eq!(told.states[..3], ["Pending", "Running", "Pending"]);
}

#[test]
fn a_link_that_breaks_for_less_than_a_lease_costs_nothing() {
    let (gate, script) = gated();
    let fleet = fleet(&script, &["a", "b"], NEVER);
    let future = fleet.bench.executor.submit(call("t"));
    fleet.bench.wait_for_state("Running", 1);
    let busy = fleet.busy();
    fleet.ways[busy].cut();
    until("it is not silent", || fleet.state(busy) == HostState::Silent);
    // It ends while nobody can be told.
    gate.store(true, Ordering::SeqCst);
    thread::sleep(Duration::from_millis(50));
    assert!(!future.is_done());
    fleet.ways[busy].heal();
    assert!(future.result(Some(LONG)).is_ok());
    assert_eq!(fleet.script.started(), 1);
    assert_eq!(fleet.bench.told(&future).states, ["Pending", "Running", "Completed"]);
    until("it is not up", || fleet.state(busy) == HostState::Up);
}

#[test]
fn an_answer_that_comes_after_the_lease_is_refused() {
    let (gate, script) = gated();
    let fleet = fleet(&script, &["a", "b"], SHORT);
    let future = fleet.bench.executor.submit(call("t"));
    fleet.bench.wait_for_state("Running", 1);
    let busy = fleet.busy();
    fleet.ways[busy].cut();
    until("it is not made elsewhere", || fleet.script.started() == 2);
    gate.store(true, Ordering::SeqCst);
    assert!(future.result(Some(LONG)).is_ok());
    fleet.ways[busy].heal();
    until("the late answer was not noticed", || fleet.executor.hosts()[busy].stale > 0);
    let told = fleet.bench.told(&future);
    assert_eq!((told.finals, told.attempts.len(), future.attempts()), (1, 1, 1));
    // The worker was told that nobody waits for it.
    let worker = fleet.ways[busy].worker();
    until("it is kept", || worker.status().kept == 0);
}

#[test]
fn a_run_with_effects_outside_is_not_made_twice_unasked() {
    let (gate, script) = gated();
    let fleet = fleet(&script, &["a", "b"], NEVER);
    let grants = Grants { net: vec!["a:1".parse().unwrap()], ..Grants::default() };
    let once = with(call("t"), |o| o.grants = grants.clone());
    let future = fleet.bench.executor.submit(once.clone());
    fleet.bench.wait_for_state("Running", 1);
    fleet.ways[fleet.busy()].replace();
    assert_eq!(kind_of(&future), Some(EndKind::HostLost));
    assert!(message_of(&future).contains("not made again unasked"));
    assert_eq!(fleet.script.started(), 1);
    // With a policy that asks for it, it is.
    let asked = with(once, |o| o.retries = RetryPolicy::times(1));
    let future = fleet.bench.executor.submit(asked);
    fleet.bench.wait_for_state("Running", 2);
    fleet.ways[fleet.busy()].replace();
    fleet.bench.wait_for_state("Retrying", 1);
    gate.store(true, Ordering::SeqCst);
    assert!(future.result(Some(LONG)).is_ok());
    assert_eq!(future.attempts(), 2);
}

#[test]
fn a_task_that_kills_its_hosts_does_not_eat_the_fleet() {
    let (_gate, script) = gated();
    let fleet = fleet(&script, &["a", "b", "c", "d"], NEVER);
    let future = fleet.bench.executor.submit(call("t"));
    for lost in 1..=3 {
        until("it is not made", || fleet.script.started() == lost);
        fleet.ways[fleet.busy()].replace();
    }
    assert_eq!(kind_of(&future), Some(EndKind::HostLost));
    assert!(message_of(&future).contains("3 were in all"), "{}", message_of(&future));
}

#[test]
fn large_values_go_beside_the_messages_and_within_their_limits() {
    let script = Script::new(|attempt: &Attempt<'_>| {
        let bytes = attempt.call.arguments.get("x").unwrap();
        Report::new(Outcome::Value(bytes), Usage::default())
    });
    let fleet = fleet(&script, &["a"], NEVER);
    let large = "x".repeat(2 << 20);
    let argument = |text: &str| {
        let arguments = Value::encode(&std::collections::BTreeMap::from([("x", text)])).unwrap();
        Call { arguments, ..call("t") }
    };
    for _ in 0..3 {
        let future = fleet.bench.executor.submit(argument(&large));
        assert_eq!(future.result(Some(LONG)).unwrap().decode::<String>().unwrap(), large);
    }
    // The component, and the argument once.
    assert_eq!(fleet.ways[0].puts.load(Ordering::SeqCst), 2);
    for text in [&large, &"y".repeat(2_000)] {
        let short = with(argument(text), |o| {
            o.limits = Limits { output: 1_000, ..Limits::default() };
        });
        let future = fleet.bench.executor.submit(short);
        assert_eq!(kind_of(&future), Some(EndKind::OutputTooLarge));
    }
}

#[test]
fn a_component_goes_to_a_host_once_however_many_runs_there_are() {
    let script = Script::new(|_: &Attempt<'_>| value(1));
    let fleet = fleet(&script, &["a", "b"], NEVER);
    let template = call("t");
    let calls = (0..5_000).map(move |_| template.clone());
    let list = fleet.bench.executor.map(Box::new(calls), MapOptions::default());
    assert_eq!(list.results(Some(LONG), OnError::Continue).unwrap().len(), 5_000);
    for way in &fleet.ways {
        assert!(way.puts.load(Ordering::SeqCst) <= 1);
    }
}

#[test]
fn a_run_says_why_it_waits_and_its_patience_is_kept_to() {
    let script = Script::new(|_: &Attempt<'_>| value(1));
    let fleet = fleet(&script, &["a", "b"], NEVER);
    let picky = with(call("t"), |o| {
        o.labels = ["gpu".to_owned()].into();
        o.queue_timeout = Some(Duration::from_secs(3));
    });
    let future = fleet.bench.executor.submit(picky);
    until("it does not say why", || future.state().message.is_some());
    let state = future.state();
    assert_eq!(state.kind, StateType::Pending);
    let words = state.message.unwrap();
    assert!(words.contains("a lacks the label gpu") && words.contains("b lacks"), "{words}");
    // Others are not held up by it.
    assert!(fleet.bench.executor.submit(call("t")).result(Some(LONG)).is_ok());
    assert_eq!(kind_of(&future), Some(EndKind::TimedOut));
    assert!(message_of(&future).contains("waited 3s for a slot"), "{}", message_of(&future));
    assert_eq!(future.attempts(), 0);
}

#[test]
fn a_cancel_reaches_runs_wherever_they_are() {
    let (_gate, script) = gated();
    let fleet = fleet(&script, &["a"], SHORT);
    let futures: Vec<_> = (0..5).map(|_| fleet.bench.executor.submit(call("t"))).collect();
    fleet.bench.wait_for_state("Running", 1);
    futures.iter().for_each(sandmill_core::TaskFuture::cancel);
    for future in &futures {
        assert_eq!(future.wait(Some(LONG)).kind, StateType::Cancelled);
    }
    // Also where the host cannot be told: then when it is given up.
    let future = fleet.bench.executor.submit(call("t"));
    fleet.bench.wait_for_state("Running", 2);
    fleet.ways[0].cut();
    future.cancel();
    assert_eq!(future.wait(Some(LONG)).kind, StateType::Cancelled);
}

#[test]
fn an_executor_that_reaches_nobody_says_what_was_tried_and_one_host_is_enough() {
    let script = Script::new(|_: &Attempt<'_>| value(1));
    let invoker = Arc::clone(&script) as Arc<dyn Invoker>;
    let ways =
        ["a", "b"].map(|name| MemoryWay::new(Arc::clone(&invoker), WorkerConfig::new(name, 1)));
    ways.iter().for_each(|way| way.cut());
    let config = DirectConfig { connect_timeout: Duration::from_secs(2), ..config(NEVER) };
    let executor = over(invoker, &ways, 10, config);
    let start = || block_on(executor.start(StartContext::default()));
    let Err(StartError::Unavailable(words)) = start() else { panic!("it was started") };
    assert!(words.contains("memory:a: the link is cut"), "{words}");
    assert!(words.contains("memory:b: the link is cut"), "{words}");
    ways[1].heal();
    start().unwrap();
    assert_eq!(executor.slots(), 1);
    assert!(executor.submit(call("t")).result(Some(LONG)).is_ok());
    ways[0].heal();
    until("the other is not tried on", || executor.slots() == 2);
    block_on(executor.shutdown());
    assert!(start().is_ok(), "it can be opened again");
    executor.abort();
}

#[test]
fn one_worker_at_two_addresses_has_its_slots_once() {
    let script = Script::new(|_: &Attempt<'_>| value(1));
    let invoker = Arc::clone(&script) as Arc<dyn Invoker>;
    let way = MemoryWay::new(Arc::clone(&invoker), WorkerConfig::new("a", 1));
    let ways = [Arc::clone(&way), way.twin("also-a")];
    let executor = over(invoker, &ways, 10, config(NEVER));
    block_on(executor.start(StartContext::default())).unwrap();
    until("it is not said", || {
        let hosts = executor.hosts();
        hosts
            .iter()
            .any(|host| host.why.as_ref().is_some_and(|why| why.contains("the same worker")))
    });
    until("there is no slot", || executor.slots() == 1);
    assert!(executor.submit(call("t")).result(Some(LONG)).is_ok());
    executor.abort();
}

#[test]
fn a_coordinator_that_comes_back_gets_what_was_made_for_it() {
    let (gate, script) = gated();
    let run = RunId::new();
    let first = fleet(&script, &["a"], SHORT);
    let future = first.bench.executor.submit(call("t").as_run(run, 0));
    first.bench.wait_for_state("Running", 1);
    // Its process goes, without a goodbye.
    first.ways[0].cut();
    gate.store(true, Ordering::SeqCst);
    until("it did not end", || first.ways[0].worker().status().kept == 1);
    let invoker = Arc::clone(&script) as Arc<dyn Invoker>;
    let second = over(invoker, &[first.ways[0].twin("again")], 10, config(NEVER));
    block_on(second.start(StartContext::default())).unwrap();
    let again = second.submit(call("t").as_run(run, 0));
    assert!(again.result(Some(LONG)).is_ok());
    assert_eq!(script.started(), 1);
    second.abort();
    drop(future);
}

#[test]
fn what_asks_for_the_cache_is_made_by_hosts_where_it_has_to_be() {
    let (gate, script) = gated();
    let fleet = fleet(&script, &["a"], NEVER);
    let cached = || with(call("made"), |o| o.cache = Some(CachePolicy::default()));
    let futures: Vec<_> = (0..3).map(|_| fleet.bench.executor.submit(cached())).collect();
    until("nothing is made", || fleet.script.started() == 1);
    futures[0].cancel();
    assert_eq!(futures[0].wait(Some(LONG)).kind, StateType::Cancelled);
    gate.store(true, Ordering::SeqCst);
    for future in &futures[1..] {
        assert!(future.result(Some(LONG)).is_ok());
    }
    let late = with(cached(), |o| o.deadline = Some(Instant::now() + Duration::from_millis(50)));
    gate.store(false, Ordering::SeqCst);
    let blocked = fleet.bench.executor.submit(call("t"));
    until("the slot is free", || fleet.script.started() == 4);
    let late = fleet.bench.executor.submit(late);
    assert_eq!(kind_of(&late), Some(EndKind::TimedOut));
    blocked.cancel();
    block_on(fleet.bench.executor.shutdown());
}

#[test]
fn two_runs_of_one_id_are_not_made_at_once() {
    let (gate, script) = gated();
    let fleet = fleet(&script, &["a"], NEVER);
    let run = RunId::new();
    let first = fleet.bench.executor.submit(call("t").as_run(run, 0));
    fleet.bench.wait_for_state("Running", 1);
    let second = fleet.bench.executor.submit(call("t").as_run(run, 0));
    assert_eq!(kind_of(&second), Some(EndKind::Refused));
    gate.store(true, Ordering::SeqCst);
    assert!(first.result(Some(LONG)).is_ok());
}

#[test]
fn what_a_host_does_not_allow_is_placed_elsewhere() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let script = Script::new(move |_: &Attempt<'_>| {
        count.fetch_add(1, Ordering::SeqCst);
        value(1)
    });
    let invoker = Arc::clone(&script) as Arc<dyn Invoker>;
    let strict = MemoryWay::new(Arc::clone(&invoker), WorkerConfig::new("strict", 1));
    let open = WorkerConfig {
        ceiling: sandmill_core::Ceiling::unbounded(),
        ..WorkerConfig::new("open", 1)
    };
    let open = MemoryWay::new(Arc::clone(&invoker), open);
    let executor = over(invoker, &[strict, Arc::clone(&open)], 100, config(NEVER));
    block_on(executor.start(StartContext::default())).unwrap();
    let asks = with(call("t"), |o| o.grants = Grants { clock: true, ..Grants::default() });
    let futures: Vec<_> = (0..20).map(|_| executor.submit(asks.clone())).collect();
    assert!(futures.iter().all(|future| future.result(Some(LONG)).is_ok()));
    assert_eq!(open.worker().status().ended["value"], 20);
    assert_eq!(made.load(Ordering::SeqCst), 20);
    executor.abort();
}
