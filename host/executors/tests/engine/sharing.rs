//! Idle workers take what waits at busy ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{Attempt, Ceiling, Executor, Grants, Invoker, Limits};
use sandmill_executors::remote::engine::EngineFleetConfig;
use sandmill_executors::worker::WorkerConfig;
use sandmill_transport::engine::{Class, Engine};

use crate::failures::{Opened, served};
use crate::maker::{Served, fleet};
use crate::server::{LONG, shared};
use crate::support::{Script, call, value};

/// Runs that wait behind one that does not end.
const WAITING: usize = 12;
/// Kinds of runs that were made once: far more than a worker can ask for at a time.
const KINDS: u64 = 600;
/// Runs one after the other. If each waited until all kinds had had their turn, they would take
/// longer together than anything may.
const IN_A_ROW: usize = 40;

#[test]
fn what_waits_at_a_busy_worker_goes_to_an_idle_one() {
    let engine = shared().config();
    let script = Script::new(|attempt: &Attempt<'_>| {
        if &*attempt.call.task == "block" {
            let _ = attempt.cancel.wait_until(Instant::now() + LONG * 2);
        }
        value(1)
    });
    let start = |name: &str| {
        let config = WorkerConfig { ceiling: Ceiling::unbounded(), ..WorkerConfig::new(name, 1) };
        Served::start(&engine, Arc::clone(&script) as Arc<dyn Invoker>, config, 4)
    };
    let busy = start("busy");
    let config = EngineFleetConfig { prefetch_per_slot: 2 * WAITING, ..fleet(engine.clone()) };
    let opened = Opened::with(config, &script);
    let blocked = opened.executor.submit(call("block"));
    script.wait_for_more_than(0);
    let waiting: Vec<_> = (0..WAITING).map(|_| opened.executor.submit(call("t"))).collect();
    let begun = Instant::now();
    while busy.worker.status().waiting < 4 {
        assert!(begun.elapsed() < LONG, "{} wait", busy.worker.status().waiting);
        std::thread::sleep(Duration::from_millis(5));
    }
    let idle = start("idle");
    for future in &waiting {
        assert!(future.result(Some(LONG)).is_ok());
    }
    assert!(!blocked.is_done());
    assert_eq!(script.started(), 1 + WAITING, "each once");
    assert_eq!(busy.worker.status().waiting, 0);
    drop(idle);
    blocked.cancel();
    opened.executor.abort();
}

#[test]
fn kinds_of_runs_that_nobody_makes_now_keep_no_others_waiting() {
    let engine = shared().config();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connected = Engine::connect(engine.clone()).await.unwrap();
        connected.ensure().await.unwrap();
        for number in 0..KINDS {
            let limits = Limits { fuel: Some(number + 1), ..Limits::default() };
            let (labels, grants) = (BTreeSet::new(), Grants::default());
            let class = Class::new(&labels, &BTreeMap::new(), &grants, &limits, false);
            connected.tell_class(&class).await.unwrap();
        }
        connected.close().await;
    });
    let script = Script::new(|attempt: &Attempt<'_>| {
        if &*attempt.call.task == "block" {
            let _ = attempt.cancel.wait_until(Instant::now() + LONG * 2);
        }
        value(1)
    });
    let worker = served(&engine, &script, "a", 2);
    let opened = Opened::at(&engine, &script);
    let blocked = opened.executor.submit(call("block"));
    script.wait_for_more_than(0);
    let begun = Instant::now();
    for _ in 0..IN_A_ROW {
        assert!(opened.executor.submit(call("t")).result(Some(LONG)).is_ok());
    }
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    blocked.cancel();
    opened.executor.abort();
    drop(worker);
}
