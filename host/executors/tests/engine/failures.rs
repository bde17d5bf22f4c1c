//! What an engine and its workers may do: die, forget, repeat, reorder, be full, be the wrong one.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use parking_lot::Mutex;
use sandmill_core::future::OnError;
use sandmill_core::{
    Attempt, Call, Ceiling, Component, Event, EventKind, Events, Executor, Invoker, MapOptions,
    Report, StartContext, Usage,
};
use sandmill_executors::remote::RemoteExecutor;
use sandmill_executors::remote::engine::EngineFleetConfig;
use sandmill_executors::worker::WorkerConfig;
use sandmill_executors::worker::engine::list_workers;
use sandmill_transport::engine::{Engine, EngineConfig, EngineError};
use sandmill_wire::{EndKind, Outcome, RunId, Value};

use crate::maker::{Served, executor, fleet};
use crate::server::{LONG, Server, config_at, shared};
use crate::support::{Script, call, kind_of, message_of, with};

/// Returns its argument, after a while.
fn echo(takes: Duration) -> Arc<Script> {
    Script::new(move |attempt: &Attempt<'_>| {
        thread::sleep(takes);
        let number = attempt.call.arguments.get("n").unwrap();
        Report::new(Outcome::Value(number), Usage { wall_micros: 1, ..Usage::default() })
    })
}

fn arguments(number: u64) -> Value {
    Value::encode(&BTreeMap::from([("n", number)])).unwrap()
}

fn calls(count: u64) -> sandmill_core::Calls {
    let template = call("t");
    Box::new((0..count).map(move |number| Call {
        arguments: arguments(number),
        map_index: Some(number),
        ..template.clone()
    }))
}

pub(crate) fn served(
    engine: &EngineConfig,
    script: &Arc<Script>,
    name: &str,
    slots: usize,
) -> Served {
    let config = WorkerConfig { ceiling: Ceiling::unbounded(), ..WorkerConfig::new(name, slots) };
    Served::start(engine, Arc::clone(script) as Arc<dyn Invoker>, config, slots)
}

/// An executor over an engine, and how often each of its runs was told to have ended.
pub(crate) struct Opened {
    pub(crate) executor: RemoteExecutor,
    ends: Arc<Mutex<HashMap<RunId, u32>>>,
}

impl Opened {
    pub(crate) fn at(engine: &EngineConfig, script: &Arc<Script>) -> Self {
        Self::with(fleet(engine.clone()), script)
    }

    pub(crate) fn with(config: EngineFleetConfig, script: &Arc<Script>) -> Self {
        let executor = executor(Arc::clone(script) as Arc<dyn Invoker>, 100_000, config);
        let ends: Arc<Mutex<HashMap<RunId, u32>>> = Arc::default();
        let (events, sink) = (Events::default(), Arc::clone(&ends));
        events.observe(Arc::new(move |event: &Event| {
            if matches!(&event.kind, EventKind::State(state) if state.is_final()) {
                *sink.lock().entry(event.run).or_default() += 1;
            }
        }));
        block_on(executor.start(StartContext { events })).unwrap();
        Self { executor, ends }
    }

    /// Maps so many, does something on the way, and looks at all answers: each run has its own, and
    /// ended once.
    pub(crate) fn map(&self, script: &Arc<Script>, count: u64, on_the_way: impl FnOnce()) {
        let before = script.started();
        self.ends.lock().clear();
        let mapped = self.executor.map(calls(count), MapOptions::default());
        let start = Instant::now();
        while script.started() < before + usize::try_from(count / 4).unwrap() {
            assert!(start.elapsed() < LONG, "nothing goes on: {:?}", self.executor.hosts());
            thread::sleep(Duration::from_millis(1));
        }
        on_the_way();
        let values = mapped.results(Some(LONG * 2), OnError::Continue).unwrap();
        let numbers: Vec<u64> = values.iter().map(|value| value.decode().unwrap()).collect();
        assert_eq!(numbers, (0..count).collect::<Vec<u64>>());
        let ends = self.ends.lock();
        assert_eq!(ends.len() as u64, count);
        assert!(ends.values().all(|times| *times == 1), "a run has two ends");
    }
}

pub(crate) fn until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < LONG, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn twenty_thousand_small_runs_come_through() {
    let engine = shared().config();
    let script = echo(Duration::ZERO);
    let workers = [served(&engine, &script, "a", 2), served(&engine, &script, "b", 2)];
    let opened = Opened::at(&engine, &script);
    let start = Instant::now();
    opened.map(&script, 20_000, || ());
    let rate = 20_000.0 / start.elapsed().as_secs_f64();
    println!("{rate:.0} runs a second");
    assert_eq!(script.started(), 20_000, "none was made twice");
    for worker in &workers {
        let transfers = worker.worker.status().transfers;
        assert!(transfers.values().all(|times| *times == 1), "{transfers:?}");
    }
    block_on(opened.executor.shutdown());
}

#[test]
fn a_server_that_is_killed_and_comes_back_costs_time_only() {
    let mut server = Server::start();
    let engine = server.config();
    let script = echo(Duration::from_millis(2));
    let _worker = served(&engine, &script, "a", 2);
    let opened = Opened::at(&engine, &script);
    opened.map(&script, 1_000, || {
        server.kill();
        until("the engine is not seen to be away", || {
            opened
                .executor
                .hosts()
                .iter()
                .all(|host| host.why.as_ref().is_some_and(|why| why.contains("the engine is away")))
        });
        server.go_on();
    });
    opened.executor.abort();
}

#[test]
fn a_server_whose_store_is_wiped_costs_time_only() {
    let mut server = Server::start();
    let engine = server.config();
    let script = echo(Duration::from_millis(2));
    let _worker = served(&engine, &script, "a", 2);
    let opened = Opened::at(&engine, &script);
    opened.map(&script, 1_000, || {
        server.kill();
        server.wipe();
        server.go_on();
    });
    opened.executor.abort();
}

#[test]
fn a_server_whose_store_is_damaged_costs_time_only() {
    let mut server = Server::start();
    let engine = server.config();
    let script = echo(Duration::from_millis(2));
    let _worker = served(&engine, &script, "a", 2);
    let opened = Opened::at(&engine, &script);
    opened.map(&script, 1_000, || {
        server.kill();
        assert!(server.damage() > 0, "there is nothing to damage");
        server.go_on();
    });
    opened.executor.abort();
}

#[test]
fn a_worker_that_dies_with_runs_costs_time_only() {
    let mut engine = shared().config();
    // What it pulled and did not tell of is given out again after that.
    engine.bounds.ack_wait = Duration::from_secs(2);
    let script = echo(Duration::from_millis(5));
    let dying = served(&engine, &script, "a", 2);
    let _other = served(&engine, &script, "b", 2);
    let opened = Opened::at(&engine, &script);
    opened.map(&script, 400, || drop(dying.die()));
    opened.executor.abort();
}

#[test]
fn a_worker_that_leaves_gives_back_what_it_has_not_started() {
    let engine = shared().config();
    let script = echo(Duration::from_millis(5));
    let leaving = served(&engine, &script, "a", 2);
    let _other = served(&engine, &script, "b", 2);
    let opened = Opened::at(&engine, &script);
    opened.map(&script, 400, || leaving.leave());
    assert_eq!(script.started(), 400, "none was made twice");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listed = runtime.block_on(list_workers(engine)).unwrap();
    let names: Vec<&str> = listed.iter().map(|one| one.welcome.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    opened.executor.abort();
}

#[test]
fn a_run_with_effects_is_not_made_twice_unasked() {
    let engine = shared().config();
    let script = echo(Duration::from_secs(3));
    let dying = served(&engine, &script, "a", 1);
    let opened = Opened::at(&engine, &script);
    let future = opened.executor.submit(Call {
        arguments: arguments(1),
        ..with(call("t"), |options| options.grants.net = vec!["a:1".parse().unwrap()])
    });
    script.wait_for_more_than(0);
    drop(dying.die());
    let _other = served(&engine, &script, "b", 1);
    assert!(future.result(Some(LONG)).is_err());
    assert_eq!(kind_of(&future), Some(EndKind::HostLost));
    assert!(message_of(&future).contains("not made again unasked"), "{}", message_of(&future));
    assert_eq!(script.started(), 1);
    opened.executor.abort();
}

#[test]
fn large_values_and_components_travel_once_a_worker() {
    let engine = shared().config();
    let script = Script::new(|attempt: &Attempt<'_>| {
        Report::new(Outcome::Value(attempt.call.arguments.clone()), Usage::default())
    });
    let worker = served(&engine, &script, "a", 2);
    let opened = Opened::at(&engine, &script);
    let component = Component::new(vec![7_u8; 5 << 20], "memory");
    let large = Value::encode(&BTreeMap::from([("text", "x".repeat(3 << 20))])).unwrap();
    let futures: Vec<_> =
        (0..4).map(|_| opened.executor.submit(Call::new(&component, "t", large.clone()))).collect();
    for future in futures {
        assert_eq!(future.result(Some(LONG)).unwrap(), large);
    }
    let transfers = worker.worker.status().transfers;
    assert_eq!(transfers.get(&component.digest()), Some(&1));
    opened.executor.abort();
}

#[test]
fn a_full_queue_holds_runs_back_and_loses_none() {
    let mut engine = shared().config();
    engine.bounds.work_messages = 3;
    let script = echo(Duration::from_millis(2));
    let _worker = served(&engine, &script, "a", 2);
    let opened = Opened::at(&engine, &script);
    opened.map(&script, 300, || ());
    opened.executor.abort();
}

#[test]
fn runs_wait_for_a_worker_that_can_make_them() {
    let engine = shared().config();
    let script = echo(Duration::ZERO);
    let _worker = served(&engine, &script, "a", 1);
    let opened = Opened::at(&engine, &script);
    let wants = |number| Call {
        arguments: arguments(number),
        ..with(call("t"), |options| {
            options.labels = ["gpu".to_owned()].into();
            options.resources = BTreeMap::from([("cards".to_owned(), 1.0)]);
        })
    };
    let futures: Vec<_> = (0..100).map(|number| opened.executor.submit(wants(number))).collect();
    // Others are not held up by them.
    opened.map(&script, 50, || ());
    assert!(futures.iter().all(|future| !future.is_done()));
    let config = WorkerConfig {
        labels: ["gpu".to_owned()].into(),
        resources: BTreeMap::from([("cards".to_owned(), 2.0)]),
        ..WorkerConfig::new("b", 8)
    };
    let invoker = Arc::clone(&script) as Arc<dyn Invoker>;
    let _able = Served::start(&engine, invoker, config, 8);
    for (number, future) in (0_u64..).zip(futures) {
        assert_eq!(future.result(Some(LONG)).unwrap().decode::<u64>().unwrap(), number);
    }
    opened.executor.abort();
}

fn refused(config: EngineConfig) -> EngineError {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = Instant::now();
    let error = runtime.block_on(Engine::connect(config)).expect_err("it is not refused");
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    error
}

#[test]
fn a_server_that_is_too_old_is_refused_with_words() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let info = "INFO {\"server_id\":\"A\",\"server_name\":\"a\",\"version\":\"2.9.10\",\
                        \"go\":\"go\",\"host\":\"127.0.0.1\",\"port\":1,\"headers\":true,\
                        \"max_payload\":1048576,\"proto\":1,\"jetstream\":true}\r\n";
            let _ = stream.write_all(info.as_bytes());
            let mut buffer = [0_u8; 4_096];
            while let Ok(length) = stream.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if length == 0 {
                    break;
                }
                for _ in text.matches("PING\r\n") {
                    let _ = stream.write_all(b"PONG\r\n");
                }
            }
        }
    });
    let error = refused(config_at(&format!("nats://127.0.0.1:{port}")));
    let words = error.to_string();
    assert!(words.contains("2.9.10") && words.contains("2.12") && words.contains("pip"), "{words}");
}

#[test]
fn nobody_there_is_said_within_the_deadline() {
    let port = crate::server::free_port();
    let error = refused(config_at(&format!("nats://127.0.0.1:{port}")));
    assert!(matches!(error, EngineError::Connect { .. }), "{error:?}");
}

#[test]
fn what_is_set_up_otherwise_is_an_error() {
    let mut config = shared().config();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Engine::connect(config.clone())).unwrap();
    config.bounds.work_messages += 1;
    let error = refused(config);
    assert!(matches!(error, EngineError::Different { .. }), "{error:?}");
    assert!(error.to_string().contains("max_messages"), "{error}");
}
