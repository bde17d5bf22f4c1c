//! The parts of a run's cost that are too small to be seen from outside: slicing and splicing of
//! values, a slot's way from submission to outcome, changes of state, records in the journal, frames
//! of a link. `cargo bench -p sandmill-bench` measures them; what they add up to is `sandmill-bench`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use sandmill::core::future::Promise;
use sandmill::core::{
    Attempt, AttemptEnd, Clock, ComponentInfo, Invoker, Report, StartContext, Timestamp, Usage,
};
use sandmill::executors::{PoolConfig, PoolExecutor};
use sandmill::future::OnError;
use sandmill::store::StageRecord;
use sandmill::store::{Created, FlowSource, Journal, NewFlow, RunEnd, RunKey, Store, StoreConfig};
use sandmill::transport::frame::{decode_to_worker, encode};
use sandmill::transport::message::{LeaseId, Order, Payload, ToWorker};
use sandmill::value::ArgumentTemplate;
use sandmill::{
    Call, Component, Digest, End, Events, Executor as _, MapOptions, Outcome, RunId, State, Value,
};

/// Elements of lists, runs of maps, messages of frames.
const MANY: u64 = 1_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    values(&mut criterion);
    states(&mut criterion);
    slots(&mut criterion);
    journal(&mut criterion);
    frames(&mut criterion);
    criterion.final_summary();
}

/// A list is sliced into its elements, and each is put into an argument map.
fn values(criterion: &mut Criterion) {
    let rows: Vec<(u64, String)> = (0..MANY).map(|it| (it, format!("row {it}"))).collect();
    let list = Value::encode(&rows).expect("a list is a value");
    let bytes = list.as_bytes().to_vec();
    let fixed = Value::encode(&"fixed").expect("text is a value");
    let template = ArgumentTemplate::new([("fixed", &fixed)], ["row"]).expect("names differ");
    let mut group = criterion.benchmark_group("values");
    group.throughput(Throughput::Elements(MANY));
    group.bench_function("check", |bencher| {
        bencher.iter(|| Value::from_msgpack(bytes.clone()).expect("it was a value"));
    });
    group.bench_function("slice", |bencher| {
        bencher.iter(|| list.elements().expect("it is a list").map(black_box).count());
    });
    let rows: Vec<Value> = list.elements().expect("it is a list").collect();
    group.bench_function("splice", |bencher| {
        bencher.iter(|| {
            for row in &rows {
                black_box(template.render(&[row]).expect("it fits"));
            }
        });
    });
    group.finish();
}

/// A run from its beginning to its end, with nothing between: promise, future, states.
fn states(criterion: &mut Criterion) {
    let (call, events) = (call(), Events::default());
    criterion.bench_function("states/run", |bencher| {
        bencher.iter(|| {
            let (promise, future) = Promise::new(&call, &events);
            assert!(promise.start(), "nobody cancelled it");
            promise.finish(done());
            future.result(None).expect("it is done")
        });
    });
}

/// What the pool adds to an attempt that takes no time.
fn slots(criterion: &mut Criterion) {
    let pool = PoolExecutor::new(Arc::new(Instantly), PoolConfig::default());
    let context = StartContext { events: Events::new(Clock::system()) };
    pollster::block_on(pool.start(context)).expect("the pool starts");
    let call = call();
    let mut group = criterion.benchmark_group("pool");
    group.bench_function("submit", |bencher| {
        bencher.iter(|| pool.submit(call.clone()).result(None).expect("it is done"));
    });
    group.throughput(Throughput::Elements(MANY));
    group.bench_function("map", |bencher| {
        bencher.iter(|| {
            let call = call.clone();
            let calls = (0..MANY).map(move |index| call.clone().at_index(index));
            let list = pool.map(Box::new(calls), MapOptions::default());
            list.results(None, OnError::Cancel).expect("all are done").len()
        });
    });
    group.finish();
    pollster::block_on(pool.shutdown());
}

/// Runs written down, to the moment when they are on the disk.
fn journal(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is a folder");
    let dir = folder.path().join("data");
    let config = StoreConfig { dir, wait: Duration::ZERO, holder: "a bench".to_owned() };
    let store = Store::open(config).expect("the store opens");
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(MANY));
    group.sample_size(20);
    group.bench_function("run", |bencher| {
        bencher.iter_custom(|rounds| {
            let journal = begin(&store);
            let start = Instant::now();
            for index in 0..MANY * rounds {
                write_down(&journal, index);
            }
            journal.sync(None).expect("the disk takes it");
            start.elapsed()
        });
    });
    group.finish();
    store.close();
}

fn begin(store: &Store) -> Journal {
    let flow = NewFlow {
        run: RunId::new(),
        name: "bench".into(),
        source: FlowSource {
            text: Some("[flow]".to_owned()),
            path: "/flow.toml".to_owned(),
            flow: None,
            parameters: Value::nil(),
            components: Vec::new(),
            overrides: String::new(),
            reuse_completed: false,
        },
        parent: None,
        based_on: None,
        idempotency_key: None,
        labels: Vec::new(),
    };
    let Created::New(journal) = store.create_flow(flow, now()).expect("the disk takes it") else {
        panic!("a flow without a key is a new one")
    };
    journal.stage(&StageRecord {
        stage: 0,
        name: "each".into(),
        component: Some(Digest::of(b"component")),
        task: "task".into(),
        mapped: true,
        total: None,
    });
    journal
}

fn write_down(journal: &Journal, index: u64) {
    let (run, key) = (RunId::new(), RunKey { stage: 0, index: Some(index) });
    let (outcome, usage) = (Outcome::Value(Value::nil()), Usage::default());
    journal.submitted(key, run, &format!("each[{index}]").into(), [7; 16], now());
    journal.state(key, run, &State::running(now()));
    let (started, ended) = (now(), now());
    let name = outcome.name().to_owned();
    let (number, message, retry_at) = (1, None, None);
    let attempt = AttemptEnd { number, started, ended, outcome: name, message, usage, retry_at };
    journal.attempt(key, run, &attempt);
    let state = State::from_outcome(&outcome, now());
    let end = RunEnd { state, outcome, usage, attempts: 1, value_of: None, cache: None };
    journal.ended(key, run, end);
}

/// Orders to a worker, as a frame has them.
fn frames(criterion: &mut Criterion) {
    let arguments = sandmill::args! { "number" => 7 }.expect("a number is a value");
    let order = |index| Order {
        run: RunId::new(),
        lease: LeaseId(1),
        spec: 0,
        attempt: 1,
        arguments: Payload::of(&arguments.clone().into_bytes()),
        index: Some(index),
        time_left: None,
    };
    let message = ToWorker::Orders((0..MANY).map(order).collect());
    let frame = encode(&message);
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Elements(MANY));
    group.bench_function("encode", |bencher| bencher.iter(|| encode(&message)));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decode_to_worker(&frame).expect("it is a frame"));
    });
    group.finish();
}

/// An invoker whose attempts take no time.
struct Instantly;

impl Invoker for Instantly {
    fn invoke(&self, _attempt: Attempt<'_>) -> Report {
        done()
    }

    fn prepare(&self, _component: &Component) -> Result<Arc<ComponentInfo>, End> {
        Ok(Arc::new(ComponentInfo { tasks: Vec::new(), imports: Vec::new(), flows: Vec::new() }))
    }
}

fn done() -> Report {
    Report::new(Outcome::Value(Value::nil()), Usage::default())
}

fn call() -> Call {
    Call::new(&Component::new(&b"component"[..], "memory"), "task", Value::nil())
}

fn now() -> Timestamp {
    Clock::system().now()
}
