//! Flows that a host writes down, with real components: taken up by another host after the first
//! went away, repeated, cancelled from elsewhere, and made again of what the store has of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandmill::flow_file::{FlowRunFuture, Given};
use sandmill::store::{Reader, Store, StoreError};
use sandmill::{
    CodedFlow, FlowError, FlowStart, Host, RerunOptions, ResumeOptions, RunId, StartedFlow,
    StateType, Value,
};
use sandmill_test_conformance::{Alone, Bench, ExecutorUnderTest, LONG};

use crate::table::{Case, checks};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        a_flow_is_found_by_its_key_and_repeated_without_its_files,
        what_ended_is_not_run_again_by_the_next_host,
        another_process_can_cancel_a_flow,
        a_flow_that_is_code_goes_on_too,
        without_a_store_nothing_is_written_down,
    ]
}

/// Numbers are stamped one by one, with a folder outside as the witness; then one run goes on for
/// ever, unless it is not called; and what was stamped is added up.
const FLOW: &str = "
    flow = { name = 'stamps', result = 'sum.result', labels = ['stamped'] }
    components.probe.path = 'probe.wasm'
    parameters.folder = { type = 'path' }
    parameters.wait = { type = 'integer', default = 0 }
    tasks.stamp = { call = 'probe.stamp', arguments.folder = '/out', arguments.number = { map = [1, 2, 3, 4, 5] }, grants.dirs = [{ host = { from = 'parameters.folder' }, guest = '/out', access = 'read-write' }] }
    tasks.wait = { call = 'probe.sleep', arguments.millis = { from = 'parameters.wait' }, after = ['stamp'], limits.timeout = '10m', grants.clock = true }
    tasks.sum = { call = 'probe.sum', arguments.numbers = { from = 'stamp.result' }, after = ['wait'] }
";

struct Scene {
    directory: tempfile::TempDir,
    executor: &'static ExecutorUnderTest,
}

impl Scene {
    fn new(bench: &Bench) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("out")).unwrap();
        fs::write(directory.path().join("flow.toml"), FLOW).unwrap();
        let probe = bench.guest("probe");
        fs::write(directory.path().join("probe.wasm"), probe.bytes()).unwrap();
        Self { directory, executor: bench.executor }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn host(&self) -> Alone {
        Alone::open(self.executor, 2, |host| host.data_dir(self.path("data")))
    }

    fn start(&self, host: &Host, wait: u64, key: Option<&str>) -> StartedFlow {
        let folder = Value::encode(self.path("out").to_str().unwrap()).unwrap();
        let wait = Value::encode(&wait).unwrap();
        let given = [("folder".to_owned(), folder), ("wait".to_owned(), wait)];
        let given = Given::new().parameters(given.into());
        let flow = host.plan_flow(self.path("flow.toml"), &given).unwrap();
        let start = FlowStart {
            idempotency_key: key.map(str::to_owned),
            labels: vec!["mine".to_owned()],
            overrides: r#"{"mine":1}"#.to_owned(),
            ..FlowStart::default()
        };
        host.start_flow(&flow, start).unwrap()
    }

    /// How often numbers were stamped.
    fn stamps(&self) -> usize {
        fs::read_dir(self.path("out")).unwrap().count()
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.path("data")).unwrap()
    }
}

fn new(started: StartedFlow) -> FlowRunFuture {
    match started {
        StartedFlow::New(future) => future,
        StartedFlow::Exists(run) => panic!("{run} is there already"),
    }
}

fn sum(future: &FlowRunFuture) -> u64 {
    future.result(Some(LONG)).unwrap_or_else(|error| panic!("{error}")).decode().unwrap()
}

/// Waits until a stage of the flow runs.
fn until_running(future: &FlowRunFuture, stage: usize) {
    while future.report().stages.get(stage).is_none_or(|stage| stage.running == 0) {
        assert!(!future.is_done(), "{}", future.state());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn reused(future: &FlowRunFuture) -> Vec<u64> {
    future.report().stages.iter().map(|stage| stage.reused).collect()
}

fn a_flow_is_found_by_its_key_and_repeated_without_its_files(bench: &Bench) {
    let scene = Scene::new(bench);
    let host = scene.host();
    let first = new(scene.start(&host, 0, Some("nightly")));
    assert_eq!(sum(&first), 30);
    assert_eq!(scene.stamps(), 5);
    let StartedFlow::Exists(run) = scene.start(&host, 0, Some("nightly")) else {
        panic!("a second run has the same key");
    };
    assert_eq!(run, first.id());
    let error = host.resume(run, ResumeOptions::default()).unwrap_err();
    assert!(matches!(error, FlowError::Store(StoreError::Ended { .. })), "{error}");
    drop(host);

    // What the flow was made of is in the store.
    fs::remove_file(scene.path("flow.toml")).unwrap();
    fs::remove_file(scene.path("probe.wasm")).unwrap();
    let host = scene.host();
    let again = |options: RerunOptions| new(host.rerun(run, options).unwrap());
    let all = again(RerunOptions { only_failed: true, ..Default::default() });
    assert_eq!((sum(&all), reused(&all), scene.stamps()), (30, vec![5, 1, 1], 5));
    // What was granted something may come to something else; what was not, may not.
    let pure = again(RerunOptions::default());
    assert_eq!((sum(&pure), reused(&pure), scene.stamps()), (30, vec![0, 0, 1], 10));
    let fresh = again(RerunOptions { fresh: true, ..Default::default() });
    assert_eq!((sum(&fresh), reused(&fresh), scene.stamps()), (30, vec![0, 0, 0], 15));
    // With other parameters, what depends on them is another call.
    let wait = [("wait".to_owned(), Value::encode(&1).unwrap())].into();
    let other = again(RerunOptions { only_failed: true, parameters: wait, ..Default::default() });
    assert_eq!((sum(&other), reused(&other), scene.stamps()), (30, vec![5, 0, 1], 15));

    let reader = scene.reader();
    let record = reader.flow(all.id()).unwrap().unwrap();
    assert_eq!((record.based_on, record.idempotency_key), (Some(run), None));
    assert_eq!(record.labels, ["mine", "stamped"]);
    assert_eq!(reader.source(all.id()).unwrap().overrides, r#"{"mine":1}"#);
    let error = host.rerun(RunId::new(), RerunOptions::default()).unwrap_err();
    assert!(matches!(error, FlowError::Store(StoreError::NoSuchFlow { .. })), "{error}");
}

fn what_ended_is_not_run_again_by_the_next_host(bench: &Bench) {
    let scene = Scene::new(bench);
    let host = scene.host();
    let future = new(scene.start(&host, 600_000, None));
    until_running(&future, 1);
    assert_eq!(scene.stamps(), 5);
    // The host goes, with a handle on the flow still there.
    drop(host);
    let state = future.wait(Some(LONG));
    assert_eq!(state.kind, StateType::Cancelled, "{state}");
    let flow = scene.reader().flow(future.id()).unwrap().unwrap();
    assert_eq!((flow.state.kind, &*flow.state.name), (StateType::Paused, "Interrupted"));

    let host = scene.host();
    // Under a deadline this time, because the task would still wait for ten minutes.
    let options =
        ResumeOptions { timeout: Some(Duration::from_secs(1)), ..ResumeOptions::default() };
    let again = host.resume(future.id(), options).unwrap();
    let state = again.wait(Some(LONG));
    assert_eq!(state.name, "TimedOut", "{state}");
    assert_eq!((again.id(), scene.stamps()), (future.id(), 5));
    assert_eq!(reused(&again), [5, 0, 0]);
    // That was its end. Run again with less patience, it completes.
    let wait = [("wait".to_owned(), Value::encode(&0).unwrap())].into();
    let options = RerunOptions { only_failed: true, parameters: wait, ..Default::default() };
    let last = new(host.rerun(future.id(), options).unwrap());
    assert_eq!((sum(&last), scene.stamps()), (30, 5));
}

fn another_process_can_cancel_a_flow(bench: &Bench) {
    let scene = Scene::new(bench);
    let host = scene.host();
    let future = new(scene.start(&host, 600_000, None));
    until_running(&future, 1);
    Store::request_cancel(&scene.path("data"), future.id()).unwrap();
    assert_eq!(future.wait(Some(LONG)).kind, StateType::Cancelled);
    let flow = scene.reader().flow(future.id()).unwrap().unwrap();
    assert_eq!(flow.state.kind, StateType::Cancelled, "{}", flow.state);
    // One that nobody runs, while this process holds the store, is ended too.
    let other = new(scene.start(&host, 600_000, None));
    until_running(&other, 1);
    other.interrupt("for later");
    other.wait(Some(LONG));
    let third = new(scene.start(&host, 600_000, None));
    until_running(&third, 1);
    Store::request_cancel(&scene.path("data"), other.id()).unwrap();
    let state = |run| scene.reader().flow(run).unwrap().unwrap().state.kind;
    while state(other.id()) != StateType::Cancelled {
        assert!(!third.is_done());
        std::thread::sleep(Duration::from_millis(5));
    }
    third.cancel();
    third.wait(Some(LONG));
}

fn a_flow_that_is_code_goes_on_too(bench: &Bench) {
    let scene = Scene::new(bench);
    let host = scene.host();
    let component = bench.guest("flows");
    let arguments = Value::from_json_str(r#"{"count":1000}"#).unwrap();
    let coded = |flow: &str| CodedFlow {
        component: component.clone(),
        flow: flow.into(),
        arguments: arguments.clone(),
        components: Default::default(),
    };
    let error = host.start_coded_flow(&coded("nosuch"), FlowStart::default()).unwrap_err();
    assert!(error.to_string().contains("`nosuch`"), "{error}");
    let future =
        new(host.start_coded_flow(&coded("sum_of_squares"), FlowStart::default()).unwrap());
    while future.report().done() < 100 {
        assert!(!future.is_done(), "{}", future.state());
        std::thread::yield_now();
    }
    drop(host);
    let interrupted = future.wait(Some(LONG)).kind == StateType::Cancelled;
    let host = scene.host();
    if interrupted {
        let again = host.resume(future.id(), ResumeOptions::default()).unwrap();
        assert_eq!(sum(&again), 332_833_500);
        let reused: u64 = reused(&again).iter().sum();
        assert!(reused >= 100, "{reused}");
    }
    let rerun = new(host.rerun(future.id(), RerunOptions::default()).unwrap());
    assert_eq!(sum(&rerun), 332_833_500);
    let unkept = host.run_coded_flow(&coded("sum_of_squares"), &ResumeOptions::default()).unwrap();
    assert_eq!(sum(&unkept), 332_833_500);
}

fn without_a_store_nothing_is_written_down(bench: &Bench) {
    let scene = Scene::new(bench);
    let folder = Value::encode(scene.path("out").to_str().unwrap()).unwrap();
    let given = Given::new().parameters([("folder".to_owned(), folder)].into());
    let flow = bench.host.plan_flow(scene.path("flow.toml"), &given).unwrap();
    let error = bench.host.start_flow(&flow, FlowStart::default()).unwrap_err();
    assert!(matches!(error, FlowError::NoStore), "{error}");
    assert_eq!(sum(&bench.host.run_flow(flow.plan)), 30);
    assert!(!Path::new(&scene.path("data")).exists());
}
