//! The cache of results, through its invoker and a store: what is found, what is not and why.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use sandmill_core::{
    Attempt, CachePolicy, Call, CallOptions, CancelToken, Clock, Component, ComponentInfo, Events,
    Grants, Invoker, Limits, Report, Timestamp, Usage,
};
use sandmill_store::{
    Cache, CacheBounds, CacheFilter, CacheKey, CacheReader, CachingInvoker, Difference, Expired,
    NotCacheable, Store, StoreConfig, cacheable,
};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};

/// Long enough for any machine.
const LONG: Duration = Duration::from_secs(60);

type Behaviour = dyn Fn(&Attempt<'_>) -> Report + Send + Sync;

/// Performs attempts by a script, and counts them.
struct Scripted {
    made: AtomicUsize,
    behaviour: Box<Behaviour>,
}

impl Invoker for Scripted {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        self.made.fetch_add(1, Ordering::SeqCst);
        (self.behaviour)(&attempt)
    }

    fn prepare(&self, _: &Component) -> Result<Arc<ComponentInfo>, End> {
        let imports = vec!["asked".to_owned()];
        Ok(Arc::new(ComponentInfo { tasks: Vec::new(), imports, flows: Vec::new() }))
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
    cache: Arc<Cache>,
    clock: Clock,
    events: Events,
    scripted: Arc<Scripted>,
    invoker: Arc<CachingInvoker>,
}

impl Fixture {
    fn new(behaviour: impl Fn(&Attempt<'_>) -> Report + Send + Sync + 'static) -> Self {
        Self::bounded(tempfile::tempdir().unwrap(), CacheBounds::default(), behaviour)
    }

    fn bounded(
        dir: tempfile::TempDir,
        bounds: CacheBounds,
        behaviour: impl Fn(&Attempt<'_>) -> Report + Send + Sync + 'static,
    ) -> Self {
        let store = open(dir.path());
        let cache = Arc::new(Cache::new(&store, bounds));
        let clock = Clock::manual(Timestamp::from_micros(1_000_000));
        let events = Events::new(clock.clone());
        let scripted =
            Arc::new(Scripted { made: AtomicUsize::new(0), behaviour: Box::new(behaviour) });
        let inner: Arc<dyn Invoker> = scripted.clone();
        let invoker = Arc::new(CachingInvoker::new(inner, Arc::clone(&cache)));
        Self { dir, store, cache, clock, events, scripted, invoker }
    }

    fn invoke(&self, call: &Call) -> (RunId, Report) {
        let run = RunId::new();
        (run, self.invoke_as(run, call, &CancelToken::new()))
    }

    fn invoke_as(&self, run: RunId, call: &Call, cancel: &CancelToken) -> Report {
        let events = &self.events;
        self.invoker.invoke(Attempt { run, number: 1, call, cancel, events })
    }

    fn made(&self) -> usize {
        self.scripted.made.load(Ordering::SeqCst)
    }

    /// Waits until what was kept is on disk, and known nowhere else.
    fn settle(&self) {
        let nothing = CacheFilter { task: Some("of nobody".to_owned()), ..CacheFilter::default() };
        assert_eq!(self.cache.clear(&nothing).unwrap().entries, 0);
    }

    fn raw(&self) -> Connection {
        self.settle();
        let raw = Connection::open(self.dir.path().join("history.db")).unwrap();
        raw.busy_timeout(LONG).unwrap();
        raw
    }
}

fn open(dir: &Path) -> Store {
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let config = StoreConfig { dir: dir.to_owned(), wait: LONG, holder: "a test".to_owned() };
    Store::open(config).unwrap()
}

fn component() -> Component {
    Component::new(b"a component".to_vec(), "component.wasm")
}

fn value(json: &str) -> Value {
    Value::from_json_str(json).unwrap()
}

fn call(arguments: &str, policy: CachePolicy) -> Call {
    let options = CallOptions { cache: Some(policy), ..CallOptions::default() };
    Call::new(&component(), "count", value(arguments)).with_options(options)
}

fn pure(arguments: &str) -> Call {
    call(arguments, CachePolicy::default())
}

fn returns(value: Value) -> Report {
    Report::new(Outcome::Value(value), Usage { wall_micros: 7, ..Usage::default() })
}

/// Gives back its arguments.
fn echo(attempt: &Attempt<'_>) -> Report {
    returns(attempt.call.arguments.clone())
}

#[test]
fn a_result_is_made_once_and_names_the_run_that_made_it() {
    let it = Fixture::new(echo);
    let (first, made) = it.invoke(&pure(r#"{"a":1}"#));
    assert_eq!(made.cached_from, None);
    for _ in 0..3 {
        let (_, report) = it.invoke(&pure(r#"{"a":1}"#));
        assert_eq!(report, Report::cached(made.outcome.clone(), first));
    }
    let (_, other) = it.invoke(&pure(r#"{"a":2}"#));
    assert_eq!(other.cached_from, None);
    assert_eq!(it.made(), 2);
    assert_eq!(it.invoker.prepare(&component()).unwrap().imports, ["asked"]);
}

#[test]
fn results_outlive_the_process_whether_they_are_small_or_large() {
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(300_000));
    let it = Fixture::new(echo);
    let runs = [&r#"{"a":1}"#.to_owned(), &large].map(|text| it.invoke(&pure(text)).0);
    let Fixture { dir, store, cache, invoker, .. } = it;
    drop((cache, invoker));
    store.close();
    let it = Fixture::bounded(dir, CacheBounds::default(), |_| panic!("it is made again"));
    for (text, run) in [&r#"{"a":1}"#.to_owned(), &large].into_iter().zip(runs) {
        let (_, report) = it.invoke(&pure(text));
        assert_eq!(report, Report::cached(Outcome::Value(value(text).canonical()), run));
    }
}

#[test]
fn equal_arguments_are_those_that_mean_the_same() {
    let it = Fixture::new(echo);
    let (_, made) = it.invoke(&pure(r#"{"a":1,"b":[1.5,{"x":1,"y":2}]}"#));
    let (_, found) = it.invoke(&pure(r#"{"b":[1.5,{"y":2,"x":1}],"a":1}"#));
    assert!(found.cached_from.is_some());
    // And what a guest was given did not depend on how they were written.
    assert_eq!(found.outcome, made.outcome);
    for other in [r#"{"a":1.0,"b":[1.5,{"x":1,"y":2}]}"#, r#"{"a":1,"b":[{"x":1,"y":2},1.5]}"#] {
        assert_eq!(it.invoke(&pure(other)).1.cached_from, None, "{other}");
    }
}

#[test]
fn every_part_of_the_key_counts() {
    let arguments = value(r#"{"a":1}"#);
    let (one, two) = (component().digest(), Component::new(b"another".to_vec(), "b").digest());
    let key = |component, task: &str, arguments: &Value, user: Option<&str>| {
        CacheKey::new(component, task, arguments, user.map(Into::into))
    };
    let keys = [
        key(one, "count", &arguments, None),
        key(two, "count", &arguments, None),
        key(one, "counts", &arguments, None),
        key(one, "count", &value(r#"{"a":2}"#), None),
        key(one, "count", &arguments, Some("")),
        key(one, "count", &arguments, Some("k")),
        key(one, "count", &arguments, None).with_profile("another machine"),
    ];
    let digests: BTreeSet<_> = keys.iter().map(CacheKey::digest).collect();
    assert_eq!(digests.len(), keys.len());
    assert_eq!(keys[0].digest(), key(one, "count", &arguments, None).digest());
}

#[test]
fn what_is_granted_needs_a_key_and_the_words_say_so() {
    let grants = Grants { clock: true, random: true, ..Grants::default() };
    let options = |grants: &Grants, key: Option<&str>| CallOptions {
        grants: grants.clone(),
        cache: Some(CachePolicy { key: key.map(Into::into), ..CachePolicy::default() }),
        ..CallOptions::default()
    };
    assert_eq!(cacheable(&CallOptions::default()), Err(NotCacheable::NotAsked));
    assert_eq!(cacheable(&options(&Grants::default(), None)), Ok(()));
    assert_eq!(cacheable(&options(&grants, Some("today"))), Ok(()));
    let refused = cacheable(&options(&grants, None)).unwrap_err().to_string();
    assert!(refused.contains("clock, random") && refused.contains("give its cache a key"));

    let it = Fixture::new(echo);
    let base = Call::new(&component(), "count", value("{}"));
    for (options, found) in [
        (CallOptions::default(), false),
        (options(&grants, None), false),
        (options(&grants, Some("today")), true),
    ] {
        let call = base.clone().with_options(options);
        it.invoke(&call);
        assert_eq!(it.invoke(&call).1.cached_from.is_some(), found);
    }
    // Another key is another result.
    let call = base.with_options(options(&grants, Some("tomorrow")));
    assert_eq!(it.invoke(&call).1.cached_from, None);
}

#[test]
fn only_values_are_kept_and_not_those_of_runs_that_asked_who_they_are() {
    let outcomes = [
        Outcome::Failure(sandmill_wire::Failure::new("broken", "it broke")),
        Outcome::Ended(End::new(EndKind::TimedOut, "too slow")),
    ];
    for outcome in outcomes {
        let it = Fixture::new(move |_| Report::new(outcome.clone(), Usage::default()));
        it.invoke(&pure("{}"));
        it.invoke(&pure("{}"));
        assert_eq!(it.made(), 2);
    }
    let it = Fixture::new(|attempt| {
        let usage = Usage { read_context: true, ..Usage::default() };
        Report { usage, ..echo(attempt) }
    });
    it.invoke(&pure("{}"));
    assert_eq!(it.invoke(&pure("{}")).1.cached_from, None);
    // With a key its author answers for it.
    let keyed = call("{}", CachePolicy { key: Some("k".into()), ..CachePolicy::default() });
    it.invoke(&keyed);
    assert!(it.invoke(&keyed).1.cached_from.is_some());
}

#[test]
fn results_grow_old() {
    let it = Fixture::new(echo);
    let aged = |seconds: u64| CachePolicy {
        expires: Some(Duration::from_secs(seconds)),
        ..CachePolicy::default()
    };
    it.invoke(&pure("{}"));
    it.clock.advance(Duration::from_secs(10));
    assert!(it.invoke(&call("{}", aged(11))).1.cached_from.is_some());
    it.store.sync().unwrap();
    let key = CacheKey::of(&pure("{}"));
    let accepts = Some(Duration::from_secs(10));
    let explained = it.cache.reader().explain(&key, accepts, it.clock.now()).unwrap();
    let (age, accepts) = (Duration::from_secs(10), Duration::from_secs(10));
    assert_eq!(explained.expired, Some(Expired::Call { age, accepts }));
    assert_eq!(explained.hit(), None);
    // Too old for this call: it is made again, and kept for those that ask for ten seconds.
    assert_eq!(it.invoke(&call("{}", aged(10))).1.cached_from, None);
    it.clock.advance(Duration::from_secs(9));
    assert!(it.invoke(&pure("{}")).1.cached_from.is_some());
    it.clock.advance(Duration::from_secs(1));
    // Whoever made it said that it is good for ten seconds: no longer for anybody.
    assert_eq!(it.invoke(&pure("{}")).1.cached_from, None);
    assert_eq!(it.made(), 3);
}

#[test]
fn a_result_can_be_made_anew() {
    let it = Fixture::new(|attempt| returns(Value::encode(&attempt.run.to_string()).unwrap()));
    it.invoke(&pure("{}"));
    let refresh = call("{}", CachePolicy { refresh: true, ..CachePolicy::default() });
    let (anew, report) = it.invoke(&refresh);
    assert_eq!(report.cached_from, None);
    let (_, found) = it.invoke(&pure("{}"));
    assert_eq!(found, Report::cached(report.outcome, anew));
}

#[test]
fn a_value_that_a_call_may_not_return_is_not_found_for_it() {
    let it = Fixture::new(echo);
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
    it.invoke(&pure(&text));
    let limited = |limits| {
        let options =
            CallOptions { limits, cache: Some(CachePolicy::default()), ..CallOptions::default() };
        Call::new(&component(), "count", value(&text)).with_options(options)
    };
    let small = limited(Limits { output: 100, ..Limits::default() });
    assert_eq!(it.invoke(&small).1.cached_from, None);
    let small = limited(Limits { input: 100, ..Limits::default() });
    assert_eq!(it.invoke(&small).1.cached_from, None);
    let other = limited(Limits { memory: 1 << 30, fuel: Some(5), ..Limits::default() });
    assert!(it.invoke(&other).1.cached_from.is_some(), "limits are no part of the key");
}

#[test]
fn a_thousand_equal_runs_make_one_execution() {
    let it = Fixture::new(|attempt| {
        std::thread::sleep(Duration::from_millis(50));
        echo(attempt)
    });
    let next = AtomicUsize::new(0);
    let from = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::SeqCst) < 1_000 {
                    let (run, report) = it.invoke(&pure(r#"{"a":1}"#));
                    assert!(report.outcome.is_success());
                    from.lock().insert(report.cached_from.unwrap_or(run));
                }
            });
        }
    });
    assert_eq!(it.made(), 1);
    assert_eq!(from.into_inner().len(), 1, "they all have the value of one run");
}

#[test]
fn when_the_one_that_runs_fails_the_next_one_runs() {
    let tries = AtomicUsize::new(0);
    let it = Fixture::new(move |attempt| {
        std::thread::sleep(Duration::from_millis(20));
        if tries.fetch_add(1, Ordering::SeqCst) < 3 {
            return Report::unstarted(End::new(EndKind::HostError, "not yet"));
        }
        echo(attempt)
    });
    let values = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let (_, report) = it.invoke(&pure("{}"));
                values.fetch_add(usize::from(report.outcome.is_success()), Ordering::SeqCst);
            });
        }
    });
    assert_eq!(it.made(), 4);
    assert_eq!(values.into_inner(), 13, "three failed, and one value is everybody else's");
}

#[test]
fn when_the_value_cannot_be_shared_the_others_run_at_once() {
    let (count, all_in) = (AtomicUsize::new(0), Barrier::new(7));
    let it = Fixture::new(move |attempt| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(50));
        } else {
            // Passed only when all the others run at the same time.
            all_in.wait();
        }
        let usage = Usage { read_context: true, ..Usage::default() };
        Report { usage, ..echo(attempt) }
    });
    let it = &it;
    let started = &Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                started.wait();
                assert_eq!(it.invoke(&pure("{}")).1.cached_from, None);
            });
        }
    });
    assert_eq!(it.made(), 8);
}

#[test]
fn an_invoker_that_panics_leaves_nobody_waiting() {
    let tries = AtomicUsize::new(0);
    let it = Fixture::new(move |attempt| {
        assert!(tries.fetch_add(1, Ordering::SeqCst) > 0, "the first one panics");
        echo(attempt)
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| it.invoke(&pure("{}")));
        assert!(first.join().is_err());
    });
    assert!(it.invoke(&pure("{}")).1.outcome.is_success());
}

/// A run that goes on until it is told to end, and others that wait for it.
struct Blocked {
    it: Fixture,
    entered: Arc<Barrier>,
    release: Arc<AtomicBool>,
}

impl Blocked {
    fn new() -> Self {
        let (entered, release) = (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)));
        let (inside, free) = (Arc::clone(&entered), Arc::clone(&release));
        let it = Fixture::new(move |attempt| {
            inside.wait();
            let begun = Instant::now();
            while !free.load(Ordering::SeqCst) {
                assert!(begun.elapsed() < LONG, "nobody lets it go");
                std::thread::sleep(Duration::from_millis(1));
            }
            echo(attempt)
        });
        Self { it, entered, release }
    }
}

#[test]
fn a_run_that_waits_can_be_cancelled() {
    let Blocked { it, entered, release } = Blocked::new();
    let token = CancelToken::new();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| it.invoke(&pure("{}")));
        entered.wait();
        let waiting = scope.spawn(|| it.invoke_as(RunId::new(), &pure("{}"), &token));
        std::thread::sleep(Duration::from_millis(20));
        token.cancel();
        let report = waiting.join().unwrap();
        assert!(matches!(&report.outcome, Outcome::Ended(end) if end.kind == EndKind::Cancelled));
        // One that is cancelled before it waits, too.
        let report = it.invoke_as(RunId::new(), &pure("{}"), &token);
        assert!(matches!(&report.outcome, Outcome::Ended(end) if end.kind == EndKind::Cancelled));
        release.store(true, Ordering::SeqCst);
        assert!(leader.join().unwrap().1.outcome.is_success());
    });
    assert_eq!(it.made(), 1);
}

#[test]
fn a_run_waits_no_longer_than_its_own_attempt_may_take() {
    let Blocked { it, entered, release } = Blocked::new();
    let limits = Limits { timeout: Duration::from_millis(30), ..Limits::default() };
    let options =
        CallOptions { limits, cache: Some(CachePolicy::default()), ..CallOptions::default() };
    let hasty = pure("{}").with_options(options);
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| it.invoke(&pure("{}")));
        entered.wait();
        let (_, report) = it.invoke(&hasty);
        assert!(matches!(&report.outcome, Outcome::Ended(end) if end.kind == EndKind::TimedOut));
        release.store(true, Ordering::SeqCst);
        leader.join().unwrap();
    });
    assert_eq!(it.made(), 1);
}

#[test]
fn entries_that_are_damaged_are_as_good_as_none_and_go() {
    let small = r#"{"a":1}"#.to_owned();
    let large = format!(r#"{{"text":"{}"}}"#, "y".repeat(100_000));
    for damage in [
        "UPDATE cache SET result = CAST(x'2a' AS BLOB) WHERE result IS NOT NULL",
        "UPDATE cache SET run = randomblob(16)",
        "UPDATE cache SET task = 'counts'",
        "UPDATE cache SET expires = created + 1000000000000",
        "UPDATE cache SET seal = seal + 1",
        "UPDATE cache SET result = NULL, result_digest = NULL",
        "UPDATE cache SET created = 'yesterday'",
    ] {
        let it = Fixture::new(echo);
        it.invoke(&pure(&small));
        it.raw().execute_batch(damage).unwrap();
        let (_, report) = it.invoke(&pure(&small));
        assert_eq!(report, echo_of(&small), "{damage}");
        assert_eq!(it.made(), 2, "{damage}");
        let count: i64 =
            it.raw().query_row("SELECT count(*) FROM cache", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1, "{damage}");
    }
    let it = Fixture::new(echo);
    it.invoke(&pure(&large));
    it.settle();
    let blob = blobs(&it.dir.path().join("blobs")).pop().unwrap();
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    assert_eq!(it.invoke(&pure(&large)).1, echo_of(&large));
    it.settle();
    assert!(it.invoke(&pure(&large)).1.cached_from.is_some(), "it is whole again");
    assert_eq!(it.made(), 2);
}

fn echo_of(arguments: &str) -> Report {
    returns(value(arguments).canonical())
}

fn blobs(root: &Path) -> Vec<std::path::PathBuf> {
    let children = |dir: &Path| -> Vec<_> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    children(root).iter().filter(|path| path.is_dir()).flat_map(|dir| children(dir)).collect()
}

#[test]
fn the_oldest_go_first_when_there_is_no_room() {
    let bounds = CacheBounds { entries: 3, bytes: 1_000_000 };
    let it = Fixture::bounded(tempfile::tempdir().unwrap(), bounds, echo);
    let arguments = |number: usize| format!(r#"{{"number":{number}}}"#);
    for number in 0..5 {
        it.invoke(&pure(&arguments(number)));
        it.store.sync().unwrap();
    }
    let found = |number| CacheKey::of(&pure(&arguments(number))).digest();
    let kept: Vec<_> = list(&it, &CacheFilter::default()).iter().map(|it| it.key).collect();
    assert_eq!(kept, [found(4), found(3), found(2)]);
    // By bytes, with large values: their files go too.
    let bounds = CacheBounds { entries: 1_000, bytes: 250_000 };
    let it = Fixture::bounded(tempfile::tempdir().unwrap(), bounds, echo);
    for number in 0..5 {
        it.invoke(&pure(&format!(r#"{{"{number}":"{}"}}"#, "x".repeat(100_000))));
        it.store.sync().unwrap();
    }
    assert_eq!(list(&it, &CacheFilter::default()).len(), 2);
    let totals = it.cache.reader().totals().unwrap();
    assert!(totals.entries == 2 && totals.bytes <= 250_000, "{totals:?}");
    // Whatever is asked next sweeps what lost its last name, once the writer has said so.
    let begun = Instant::now();
    while blobs(&it.dir.path().join("blobs")).len() > 2 {
        assert!(begun.elapsed() < LONG, "files stay that nothing names");
        let _ = it.cache.find(&CacheKey::of(&pure("{}")), None, it.clock.now());
        it.store.sync().unwrap();
    }
    assert_eq!(blobs(&it.dir.path().join("blobs")).len(), 2);
}

fn list(it: &Fixture, filter: &CacheFilter) -> Vec<sandmill_store::CacheRecord> {
    it.store.sync().unwrap();
    it.cache.reader().list(filter, 100).unwrap()
}

#[test]
fn what_is_cleared_is_gone_and_the_rest_stays() {
    let it = Fixture::new(echo);
    let named = |task: &str, key: Option<&str>| {
        let policy = CachePolicy { key: key.map(Into::into), ..CachePolicy::default() };
        Call { task: task.into(), ..call("{}", policy) }
    };
    let calls = [named("a", None), named("b", None), named("b", Some("k")), named("c", None)];
    for call in &calls {
        it.invoke(call);
        it.clock.advance(Duration::from_secs(1));
    }
    let tasks = |it: &Fixture| -> Vec<String> {
        list(it, &CacheFilter::default()).iter().map(|entry| entry.task.to_string()).collect()
    };
    assert_eq!(tasks(&it), ["c", "b", "b", "a"]);
    let keyed = CacheFilter { user_key: Some("k".to_owned()), ..CacheFilter::default() };
    assert_eq!(list(&it, &keyed).len(), 1);
    let before =
        CacheFilter { before: Some(Timestamp::from_micros(2_000_000)), ..CacheFilter::default() };
    assert_eq!(it.cache.clear(&before).unwrap().entries, 1);
    let task = CacheFilter { task: Some("b".to_owned()), ..CacheFilter::default() };
    assert_eq!(it.cache.clear(&task).unwrap().entries, 2);
    assert_eq!(tasks(&it), ["c"]);
    // What is on its way goes, too.
    it.invoke(&calls[0]);
    let component = CacheFilter { component: Some(component().digest()), ..CacheFilter::default() };
    assert_eq!(it.cache.clear(&component).unwrap().entries, 2);
    assert_eq!(it.cache.reader().totals().unwrap().entries, 0);
    assert_eq!(it.invoke(&calls[0]).1.cached_from, None);
    assert_eq!(it.cache.take_fault().map(|fault| fault.to_string()), None);
}

#[test]
fn it_is_explained_what_differs_from_the_nearest_entry() {
    let it = Fixture::new(echo);
    it.invoke(&pure(r#"{"path":"a","width":1,"gone":true}"#));
    it.invoke(&pure(r#"{"path":"b","width":9,"gone":false,"more":1}"#));
    it.store.sync().unwrap();
    // Nobody needs the writer's lock for it.
    let reader = CacheReader::new(it.dir.path());
    let explain = |call: &Call| reader.explain(&CacheKey::of(call), None, it.clock.now()).unwrap();
    let words = |call: &Call| -> Vec<String> {
        let nearest = explain(call).nearest.expect("there is an entry that is near");
        nearest.differences.iter().map(ToString::to_string).collect()
    };
    let same = explain(&pure(r#"{"width":1,"gone":true,"path":"a"}"#));
    assert!(same.hit().is_some() && same.nearest.is_none());
    assert_eq!(
        words(&pure(r#"{"path":"a","width":2,"new":1}"#)),
        ["the arguments differ: `gone` is missing, `width` has another value, `new` is new"]
    );
    let keyed = CachePolicy { key: Some("k".into()), ..CachePolicy::default() };
    assert_eq!(
        words(&call(r#"{"path":"a","width":1,"gone":true}"#, keyed)),
        ["the key is `k`, that of the entry was not given"]
    );
    let mut other = pure(r#"{"path":"a","width":1,"gone":true}"#);
    other.component = Component::new(b"a newer component".to_vec(), "component.wasm");
    assert!(words(&other)[0].starts_with("the component is "));
    let key =
        CacheKey::of(&pure(r#"{"path":"a","width":1,"gone":true}"#)).with_profile("elsewhere");
    let explained = reader.explain(&key, None, it.clock.now()).unwrap();
    let differences = explained.nearest.unwrap().differences;
    assert!(matches!(&*differences, [Difference::Profile { .. }]), "{differences:?}");
    // Of arguments that are not kept, there are the digests.
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000));
    it.invoke(&Call { task: "large".into(), ..pure(&large) });
    it.store.sync().unwrap();
    let said = words(&Call { task: "large".into(), ..pure("{}") });
    assert!(said[0].starts_with("the arguments differ: their digest is "), "{said:?}");
    // Where there is nothing near, that is all there is to say.
    let far = Call { task: "far".into(), ..pure(r#"{"nothing":"alike"}"#) };
    assert_eq!(explain(&far).nearest, None);
    let nowhere = CacheReader::new(Path::new("/nowhere/at/all"));
    assert!(nowhere.list(&CacheFilter::default(), 10).unwrap().is_empty());
}

#[test]
fn the_profile_says_how_the_sandbox_runs_guests() {
    let profile = sandmill_store::DETERMINISM_PROFILE;
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox/src");
    for (part, file, source) in [
        ("nan=canonical", "engine.rs", ".cranelift_nan_canonicalization(true)"),
        ("relaxed-simd=deterministic", "engine.rs", ".relaxed_simd_deterministic(true)"),
        ("random=of-call-v1", "random.rs", "random streams of a call v1"),
        ("clock=virtual-2026-01-01", "clocks.rs", "VIRTUAL_WALL_START: u64 = 1_767_225_600"),
        ("contract=sandmill:task@0.1", "bindings.rs", "sandmill:task"),
    ] {
        assert!(profile.contains(part), "{part}");
        let text = std::fs::read_to_string(sandbox.join(file)).unwrap();
        assert!(text.contains(source), "{file} no longer says `{source}`: change the profile");
    }
}
