//! A scripted invoker, and an executor on it with all that was told of its runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use parking_lot::Mutex;
use sandmill_core::{
    Attempt, AttemptEnd, Call, CallOptions, Component, ComponentInfo, Event, EventKind, Events,
    Executor, Invoker, Report, RetryDelay, RetryPolicy, StartContext, State, TaskFuture, Usage,
};
use sandmill_executors::{DEFAULT_QUEUE, InlineExecutor};
use sandmill_wire::{End, EndKind, Failure, Outcome, RunId, Value};

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A retry that does not come while a test runs.
pub(crate) static NEVER: LazyLock<RetryPolicy> =
    LazyLock::new(|| RetryPolicy { cap: Duration::from_secs(3_600), ..delays(3, &[3_600_000]) });

type Act = dyn Fn(&Attempt<'_>) -> Report + Send + Sync;

pub(crate) struct Script {
    act: Box<Act>,
    started: AtomicUsize,
    under_way: Mutex<HashMap<RunId, u32>>,
    pub(crate) max_memory: AtomicU64,
}

impl Script {
    pub(crate) fn new(act: impl Fn(&Attempt<'_>) -> Report + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            act: Box::new(act),
            started: AtomicUsize::new(0),
            under_way: Mutex::default(),
            max_memory: AtomicU64::new(u64::MAX),
        })
    }

    /// How many attempts were made.
    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    /// How many runs failed an attempt and have not been tried again.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.lock().values().filter(|&&made| made < 3).count()
    }

    /// Blocks until more attempts than these were made.
    pub(crate) fn wait_for_more_than(&self, made: usize) {
        let start = Instant::now();
        while self.started() <= made {
            assert!(start.elapsed() < LONG, "nothing is tried");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Invoker for Script {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        self.started.fetch_add(1, Ordering::SeqCst);
        let mut report = (self.act)(&attempt);
        match &mut report.outcome {
            Outcome::Failure(failure) => {
                failure.message = format!("{} {}", failure.message, attempt.number);
                self.under_way.lock().insert(attempt.run, attempt.number);
            }
            _ => {
                self.under_way.lock().remove(&attempt.run);
            }
        }
        report
    }

    fn prepare(&self, _: &Component) -> Result<Arc<ComponentInfo>, End> {
        Ok(Arc::new(ComponentInfo { tasks: Vec::new(), imports: Vec::new(), flows: Vec::new() }))
    }

    fn max_memory(&self) -> u64 {
        self.max_memory.load(Ordering::SeqCst)
    }
}

pub(crate) fn value(number: u64) -> Report {
    Report::new(Outcome::Value(Value::encode(&number).unwrap()), Usage::default())
}

pub(crate) fn failure(kind: &str) -> Report {
    Report::new(Outcome::Failure(Failure::new(kind, "no luck")), Usage::default())
}

pub(crate) fn ended(kind: EndKind) -> Report {
    Report::unstarted(End::new(kind, "because"))
}

pub(crate) fn call(task: &str) -> Call {
    let arguments = Value::encode(&HashMap::<String, u64>::new()).unwrap();
    Call::new(&Component::new(&b"component"[..], "memory"), task, arguments)
}

pub(crate) fn with(call: Call, change: impl FnOnce(&mut CallOptions)) -> Call {
    let mut options = (*call.options).clone();
    change(&mut options);
    call.with_options(options)
}

/// So many retries, after so many milliseconds each.
pub(crate) fn delays(retries: u32, millis: &[u64]) -> RetryPolicy {
    let delays = millis.iter().copied().map(Duration::from_millis).collect();
    RetryPolicy { delay: RetryDelay::List(delays), ..RetryPolicy::times(retries) }
}

pub(crate) fn kind_of(future: &TaskFuture) -> Option<EndKind> {
    future.wait(Some(LONG));
    match future.outcome().expect("it has ended") {
        Outcome::Ended(end) => Some(end.kind),
        _ => None,
    }
}

pub(crate) fn message_of(future: &TaskFuture) -> String {
    match future.outcome().expect("it has ended") {
        Outcome::Ended(end) => end.message,
        Outcome::Failure(failure) => failure.message,
        Outcome::Value(_) => String::new(),
    }
}

pub(crate) fn inline(script: &Arc<Script>) -> (Arc<dyn Executor>, Arc<Script>) {
    let invoker = Arc::clone(script) as Arc<dyn Invoker>;
    (Arc::new(InlineExecutor::new(invoker)), Arc::clone(script))
}

pub(crate) fn pool(script: &Arc<Script>, slots: usize) -> (Arc<dyn Executor>, Arc<Script>) {
    let invoker = Arc::clone(script) as Arc<dyn Invoker>;
    (crate::maker::pool(invoker, slots, DEFAULT_QUEUE), Arc::clone(script))
}

/// All that was told of one run.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) states: Vec<String>,
    pub(crate) attempts: Vec<AttemptEnd>,
    pub(crate) finals: usize,
}

/// An open executor.
pub(crate) struct Bench {
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) script: Arc<Script>,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    by_run: HashMap<RunId, Vec<EventKind>>,
    /// Of all runs, in their order.
    states: Vec<State>,
}

impl Bench {
    pub(crate) fn open(executor: (Arc<dyn Executor>, Arc<Script>), events: Events) -> Self {
        let (executor, script) = executor;
        let record: Arc<Mutex<Record>> = Arc::default();
        let sink = Arc::clone(&record);
        events.observe(Arc::new(move |event: &Event| {
            let mut record = sink.lock();
            if let EventKind::State(state) = &event.kind {
                record.states.push(state.clone());
            }
            record.by_run.entry(event.run).or_default().push(event.kind.clone());
        }));
        let bench = Self { record, ..Self::quiet((executor, script)) };
        block_on(bench.executor.start(StartContext { events })).unwrap();
        bench
    }

    /// An executor that is not open, and that nobody listens to.
    pub(crate) fn quiet(executor: (Arc<dyn Executor>, Arc<Script>)) -> Self {
        let (executor, script) = executor;
        Self { executor, script, record: Arc::default() }
    }

    pub(crate) fn events(&self, future: &TaskFuture) -> Vec<EventKind> {
        self.record.lock().by_run.get(&future.id()).cloned().unwrap_or_default()
    }

    pub(crate) fn told(&self, future: &TaskFuture) -> Told {
        let mut told = Told::default();
        for kind in self.events(future) {
            match kind {
                EventKind::State(state) => {
                    told.finals += usize::from(state.is_final());
                    told.states.push(state.name.to_string());
                }
                EventKind::Attempt(end) => told.attempts.push(end),
                _ => {}
            }
        }
        told
    }

    /// Blocks until so many states of this name were told, and gives the last of them.
    pub(crate) fn wait_for_state(&self, name: &str, count: usize) -> State {
        let start = Instant::now();
        loop {
            let states: Vec<State> = self.states(name);
            if states.len() >= count {
                return states.last().unwrap().clone();
            }
            assert!(start.elapsed() < LONG, "there is no `{name}`");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn states(&self, name: &str) -> Vec<State> {
        self.record.lock().states.iter().filter(|state| state.name == name).cloned().collect()
    }

    /// Submits from a thread of its own, and blocks until the run gets to that state.
    pub(crate) fn submit_elsewhere(&self, call: Call, state: &str) -> State {
        let count = self.states(state).len();
        let executor = Arc::clone(&self.executor);
        thread::spawn(move || executor.submit(call).wait(Some(LONG)));
        self.wait_for_state(state, count + 1)
    }
}

/// Runs `check` on both executors, each open, the pool with two slots.
pub(crate) fn on_both(
    act: impl Fn(&Attempt<'_>) -> Report + Send + Sync + 'static,
    check: impl Fn(&Bench),
) {
    let act = Arc::new(act);
    for make in [inline, |script: &_| pool(script, 2)] {
        let act = Arc::clone(&act);
        let bench = Bench::open(make(&Script::new(move |attempt| act(attempt))), Events::default());
        check(&bench);
        bench.executor.abort();
    }
}
