//! What a coordinator makes of workers that repeat, reorder, talk of what is over, or say nothing:
//! they are played here, by what a worker says and hears at an engine.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::executor::block_on;
use parking_lot::Mutex;
use sandmill_core::{Ceiling, Clock, Event, EventKind, Events, Executor, StartContext, Usage};
use sandmill_executors::remote::engine::EngineFleetConfig;
use sandmill_executors::worker::WorkerConfig;
use sandmill_transport::engine::{Engine, EngineConfig, ItemState, Presence, Pulled, Said, Words};
use sandmill_transport::message::{
    Ending, FromWorker, HandBack, LeaseId, Load, Note, Noted, PROTOCOL, Payload, RunLease,
    RunReport, ToWorker, Welcome, WorkerId,
};
use sandmill_wire::{EndKind, RunId, Value};
use uuid::Uuid;

use crate::maker::{Served, executor, fleet};
use crate::server::{LONG, shared};
use crate::support::{Script, call, kind_of, message_of, value};

/// A worker that does what a test says.
struct Played {
    runtime: tokio::runtime::Runtime,
    engine: Engine,
    id: WorkerId,
    number: u64,
}

impl Played {
    fn start(config: &EngineConfig, name: &str, slots: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let engine = runtime.block_on(Engine::connect(config.clone())).unwrap();
        let id = WorkerId(Uuid::now_v7());
        let presence = Presence {
            welcome: Welcome {
                protocol: PROTOCOL,
                worker: id,
                program: "played".to_owned(),
                name: name.to_owned(),
                platform: "test".to_owned(),
                slots,
                labels: [].into(),
                resources: [].into(),
                ceiling: Ceiling::unbounded(),
                holds: Vec::new(),
                runs: Vec::new(),
                resumed: false,
            },
            load: Load::default(),
            draining: false,
            at: Clock::system().now(),
        };
        runtime.block_on(engine.list_worker(&presence)).unwrap();
        Self { runtime, engine, id, number: 0 }
    }

    /// Takes an item, if one comes within so long.
    fn pull(&self, wait: Duration) -> Option<Pulled> {
        self.runtime.block_on(async {
            let start = Instant::now();
            while start.elapsed() < wait {
                for (class, _) in self.engine.classes().await.unwrap() {
                    let Ok(queue) = self.engine.queue(&class).await else { continue };
                    if let Ok(Some(pulled)) = queue.pull(Duration::from_millis(200)).await {
                        return Some(pulled);
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            None
        })
    }

    /// Takes items until it has so many runs; whose they are, and their leases.
    fn take(&self, count: usize) -> (Uuid, HashMap<RunId, LeaseId>) {
        let (mut session, mut runs) = (Uuid::nil(), HashMap::new());
        while runs.len() < count {
            let pulled = self.pull(LONG).expect("there is no item");
            let item = pulled.item.as_ref().unwrap();
            session = item.session;
            runs.extend(item.orders.iter().map(|order| (order.run, order.lease)));
            self.runtime.block_on(pulled.done()).unwrap();
        }
        (session, runs)
    }

    /// Says each of these by itself.
    fn say(&mut self, session: Uuid, messages: Vec<FromWorker>) {
        for message in messages {
            self.put(session, Engine::packed(vec![message]));
        }
    }

    fn put(&mut self, session: Uuid, mut bytes: Vec<Bytes>) {
        let (id, number) = (self.id, &mut self.number);
        self.runtime.block_on(self.engine.answer(session, id, number, &mut bytes)).unwrap();
    }

    fn listen(&self, session: Uuid) -> Words {
        self.runtime.block_on(self.engine.hear_coordinator(session, self.id)).unwrap()
    }

    /// Hears of these runs that their reports were taken.
    fn hear_settled(&self, words: &mut Words, mut wanted: HashSet<RunLease>) {
        let hearing = async {
            while !wanted.is_empty() {
                if let Some(Said::Words(messages)) = words.next().await {
                    for message in messages {
                        if let ToWorker::Settled(runs) = message {
                            wanted.retain(|of| !runs.contains(of));
                        }
                    }
                }
            }
        };
        let heard = self.runtime.block_on(async { tokio::time::timeout(LONG, hearing).await });
        assert!(heard.is_ok(), "not settled: {wanted:?}");
    }
}

fn ended(run: RunId, lease: LeaseId, number: u64) -> FromWorker {
    let value = Value::encode(&number).unwrap();
    FromWorker::Ended(vec![RunReport {
        of: RunLease { run, lease },
        ending: Ending::Value(Payload::of(&value.into_bytes())),
        usage: Usage::default(),
    }])
}

fn back(run: RunId, lease: LeaseId) -> FromWorker {
    FromWorker::HandBack(vec![HandBack { of: RunLease { run, lease }, why: None }])
}

fn started(run: RunId, lease: LeaseId) -> FromWorker {
    let of = RunLease { run, lease };
    FromWorker::Notes(vec![Noted { of, at: Clock::system().now(), note: Note::Started }])
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_first_answer_under_the_latest_lease_counts() {
    let engine = shared().config();
    let script = Script::new(|_| value(0));
    let mut worker = Played::start(&engine, "a", 8);
    let mut other = Played::start(&engine, "b", 8);
    // Nobody beats here, and none of them is lost while the test goes on.
    let config = EngineFleetConfig { lease: LONG, ..fleet(engine) };
    let executor = executor(Arc::clone(&script) as _, 100, config);
    let ends: Arc<Mutex<HashMap<RunId, u32>>> = Arc::default();
    let (events, sink) = (Events::default(), Arc::clone(&ends));
    events.observe(Arc::new(move |event: &Event| {
        if matches!(&event.kind, EventKind::State(state) if state.is_final()) {
            *sink.lock().entry(event.run).or_default() += 1;
        }
    }));
    block_on(executor.start(StartContext { events })).unwrap();
    let futures: Vec<_> = (0..5).map(|_| executor.submit(call("t"))).collect();
    let (session, leases) = worker.take(5);
    let mut words = worker.listen(session);
    let runs: Vec<(RunId, LeaseId)> =
        futures.iter().map(|future| (future.id(), leases[&future.id()])).collect();
    let answer = |place: usize| {
        let value: u64 = futures[place].result(Some(LONG)).unwrap().decode().unwrap();
        value
    };
    let stale = || executor.hosts().iter().map(|host| host.stale).sum::<u64>();

    // Twice, with something else the second time.
    let (run, lease) = runs[0];
    worker.say(session, vec![ended(run, lease, 1), ended(run, lease, 2)]);
    assert_eq!(answer(0), 1);
    until("the second is not counted", || stale() == 1);

    // Given back and taken again: an answer under the old lease says nothing, before and after.
    let (run, old) = runs[1];
    worker.say(session, vec![back(run, old)]);
    let (_, again) = other.take(1);
    let new = again[&run];
    assert!(new > old, "{new:?} {old:?}");
    worker.say(session, vec![ended(run, old, 1)]);
    until("the old lease is not refused", || stale() == 2);
    assert!(!futures[1].is_done());
    other.say(session, vec![ended(run, new, 2)]);
    worker.say(session, vec![ended(run, old, 3)]);
    assert_eq!(answer(1), 2);
    until("the old lease is not refused", || stale() == 3);

    // What belongs before the end comes after it: it does not begin anew.
    let (run, lease) = runs[2];
    worker.say(session, vec![ended(run, lease, 1), started(run, lease), back(run, lease)]);
    assert_eq!(answer(2), 1);

    // By two workers, since the item was given out twice.
    let (run, lease) = runs[3];
    other.say(session, vec![started(run, lease), ended(run, lease, 1)]);
    worker.say(session, vec![started(run, lease), ended(run, lease, 2)]);
    assert_eq!(answer(3), 1);
    until("the second is not counted", || stale() == 4);

    // Of nobody's run, and what nobody can read; what comes after that is heard.
    let nobody = RunLease { run: RunId::new(), lease: LeaseId(7) };
    worker.say(session, vec![ended(nobody.run, nobody.lease, 1)]);
    worker.put(session, vec![Bytes::from_static(b"\xc1 no message")]);
    let (run, lease) = runs[4];
    worker.say(session, vec![ended(run, lease, 1)]);
    assert_eq!(answer(4), 1);
    until("what is nobody's is not counted", || stale() == 5);

    // Each is told to forget what it said, or it would say it for ever.
    let mut settled: HashSet<RunLease> =
        runs.iter().map(|(run, lease)| RunLease { run: *run, lease: *lease }).collect();
    settled.insert(nobody);
    worker.hear_settled(&mut words, settled);
    // Nothing of all that is left to be heard, or to be made.
    until("answers are left", || {
        worker.runtime.block_on(worker.engine.has_answers(session)) == Ok(false)
    });
    assert!(worker.pull(Duration::from_millis(300)).is_none());
    let ends = ends.lock().clone();
    assert_eq!(ends.len(), 5);
    assert!(ends.values().all(|times| *times == 1), "{ends:?}");
    assert_eq!(script.started(), 0);
    executor.abort();
}

#[test]
fn an_item_that_nobody_answers_for_ends_as_host_lost() {
    let mut engine = shared().config();
    engine.bounds.ack_wait = Duration::from_secs(1);
    engine.bounds.max_deliver = 3;
    let script = Script::new(|_| value(7));
    let worker = Played::start(&engine, "a", 1);
    let executor = executor(Arc::clone(&script) as _, 100, fleet(engine.clone()));
    block_on(executor.start(StartContext::default())).unwrap();
    let future = executor.submit(call("t"));
    let mut given = 0;
    let start = Instant::now();
    while !future.is_done() {
        assert!(start.elapsed() < LONG, "it was given out {given} times and does not end");
        // It is taken, and nobody hears of it again.
        given += i64::from(worker.pull(Duration::from_millis(200)).is_some());
    }
    assert_eq!(given, engine.bounds.max_deliver);
    assert_eq!(kind_of(&future), Some(EndKind::HostLost));
    assert!(message_of(&future).contains("as often as it may"), "{}", message_of(&future));
    // The first item of a queue of its own.
    until("the item is left", || {
        worker.runtime.block_on(worker.engine.item_state(1)) == Ok(ItemState::Gone)
    });
    // The queue goes on.
    let _able = Served::start(&engine, Arc::clone(&script) as _, WorkerConfig::new("b", 1), 0);
    let next = executor.submit(call("t"));
    assert_eq!(next.result(Some(LONG)).unwrap().decode::<u64>().unwrap(), 7);
    executor.abort();
}
