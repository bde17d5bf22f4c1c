//! What these tests share: a cache before an invoker that does what a script says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use sandmill_core::{
    Attempt, CachePolicy, Call, CallOptions, CancelToken, Clock, Component, ComponentInfo, Events,
    Invoker, Report, Timestamp, Usage,
};
use sandmill_store::{Cache, CacheBounds, CacheFilter, CachingInvoker, Store, StoreConfig};
use sandmill_wire::{End, Outcome, RunId, Value};

/// Long enough for any machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) type Behaviour = dyn Fn(&Attempt<'_>) -> Report + Send + Sync;

/// Performs attempts by a script, and counts them.
pub(crate) struct Scripted {
    pub(crate) made: AtomicUsize,
    pub(crate) behaviour: Box<Behaviour>,
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

pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) cache: Arc<Cache>,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
    pub(crate) scripted: Arc<Scripted>,
    pub(crate) invoker: Arc<CachingInvoker>,
}

impl Fixture {
    pub(crate) fn new(behaviour: impl Fn(&Attempt<'_>) -> Report + Send + Sync + 'static) -> Self {
        Self::bounded(tempfile::tempdir().unwrap(), CacheBounds::default(), behaviour)
    }

    pub(crate) fn bounded(
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

    pub(crate) fn invoke(&self, call: &Call) -> (RunId, Report) {
        let run = RunId::new();
        (run, self.invoke_as(run, call, &CancelToken::new()))
    }

    pub(crate) fn invoke_as(&self, run: RunId, call: &Call, cancel: &CancelToken) -> Report {
        let events = &self.events;
        self.invoker.invoke(Attempt { run, number: 1, call, cancel, events })
    }

    pub(crate) fn made(&self) -> usize {
        self.scripted.made.load(Ordering::SeqCst)
    }

    /// Waits until what was kept is on disk, and known nowhere else.
    pub(crate) fn settle(&self) {
        let nothing = CacheFilter { task: Some("of nobody".to_owned()), ..CacheFilter::default() };
        assert_eq!(self.cache.clear(&nothing).unwrap().entries, 0);
    }

    pub(crate) fn raw(&self) -> Connection {
        self.settle();
        let raw = Connection::open(self.dir.path().join("history.db")).unwrap();
        raw.busy_timeout(LONG).unwrap();
        raw
    }
}

pub(crate) fn open(dir: &Path) -> Store {
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let config = StoreConfig { dir: dir.to_owned(), wait: LONG, holder: "a test".to_owned() };
    Store::open(config).unwrap()
}

pub(crate) fn component() -> Component {
    Component::new(b"a component".to_vec(), "component.wasm")
}

pub(crate) fn value(json: &str) -> Value {
    Value::from_json_str(json).unwrap()
}

pub(crate) fn call(arguments: &str, policy: CachePolicy) -> Call {
    let options = CallOptions { cache: Some(policy), ..CallOptions::default() };
    Call::new(&component(), "count", value(arguments)).with_options(options)
}

pub(crate) fn pure(arguments: &str) -> Call {
    call(arguments, CachePolicy::default())
}

pub(crate) fn returns(value: Value) -> Report {
    Report::new(Outcome::Value(value), Usage { wall_micros: 7, ..Usage::default() })
}

/// Gives back its arguments.
pub(crate) fn echo(attempt: &Attempt<'_>) -> Report {
    returns(attempt.call.arguments.clone())
}

pub(crate) fn echo_of(arguments: &str) -> Report {
    returns(value(arguments).canonical())
}

pub(crate) fn blobs(root: &Path) -> Vec<std::path::PathBuf> {
    let children = |dir: &Path| -> Vec<_> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    children(root).iter().filter(|path| path.is_dir()).flat_map(|dir| children(dir)).collect()
}

pub(crate) fn list(it: &Fixture, filter: &CacheFilter) -> Vec<sandmill_store::CacheRecord> {
    it.store.sync(None).unwrap();
    it.cache.reader().list(filter, 100).unwrap()
}
