//! Runs found by their ids in the data directory of a host that runs them, as another process
//! would: waited for, cancelled, and their results taken.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use futures::executor::block_on;
use sandmill::flow_file::{FlowRunFuture, Given};
use sandmill::{AttachError, FlowStart, Runs, StartedFlow, StateType};
use sandmill_test_conformance::{Alone, Bench, LONG};

use crate::table::{Case, checks};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        a_run_is_found_and_waited_for_by_its_id,
        a_task_is_found_by_its_place_and_has_its_own_end,
        a_flow_is_cancelled_through_a_future_from_afar,
        one_run_of_a_flow_is_cancelled_from_afar,
        what_is_not_there_is_said_so,
    ]
}

const FLOW: &str = "
    flow = { name = 'afar', result = 'sum.result' }
    components.probe.path = 'probe.wasm'
    parameters.wait = { type = 'integer', default = 0 }
    tasks.wait = { call = 'probe.sleep', arguments.millis = { from = 'parameters.wait' }, limits.timeout = '10m', grants.clock = true }
    tasks.fails = { call = 'probe.refuse', arguments = { kind = 'odd', message = 'as asked', retriable = false } }
    tasks.sum = { call = 'probe.sum', arguments.numbers = [1, 2, 3], after = ['wait'] }
";

fn start(bench: &Bench, directory: &Path, wait: u64) -> (Alone, FlowRunFuture) {
    std::fs::write(directory.join("flow.toml"), FLOW).unwrap();
    std::fs::write(directory.join("probe.wasm"), bench.guest("probe").bytes()).unwrap();
    let host = Alone::open(bench.executor, 2, |host| host.data_dir(directory.join("data")));
    let wait = sandmill::Value::encode(&wait).unwrap();
    let given = Given::new().parameters([("wait".to_owned(), wait)].into());
    let flow = host.plan_flow(directory.join("flow.toml"), &given).unwrap();
    match host.start_flow(&flow, FlowStart::default()).unwrap() {
        StartedFlow::New(future) => (host, future),
        StartedFlow::Exists(run) => panic!("{run} is there already"),
    }
}

fn a_run_is_found_and_waited_for_by_its_id(bench: &Bench) {
    let directory = tempfile::tempdir().unwrap();
    let (_host, future) = start(bench, directory.path(), 2_000);
    let runs = Runs::open(directory.path().join("data")).unwrap();
    let afar = runs.flow(&future.id().to_string()).unwrap();
    assert_eq!((afar.id(), afar.name()), (future.id(), "afar"));
    assert_eq!(afar.state().is_final(), afar.is_done());
    // A wait that is too short says where the run stands, and ends nothing.
    assert!(!afar.wait(Some(Duration::from_millis(1))).is_final());
    let (sender, told) = mpsc::channel();
    afar.on_done(move |afar| sender.send(afar.id()).unwrap());
    let awaited = block_on(afar.clone().typed::<u64>());
    let end = afar.wait(Some(LONG));
    assert_eq!(end.kind, future.wait(Some(LONG)).kind);
    assert_eq!(afar.outcome(), future.outcome());
    assert_eq!(awaited.ok(), future.result(None).ok().map(|value| value.decode().unwrap()));
    assert_eq!(told.recv_timeout(LONG), Ok(future.id()));
    // Of what has ended the future has too, at once.
    let again = runs.flow("latest").unwrap();
    assert!(again.is_done());
    assert_eq!(again.outcome(), future.outcome());
}

fn a_task_is_found_by_its_place_and_has_its_own_end(bench: &Bench) {
    let directory = tempfile::tempdir().unwrap();
    let (_host, future) = start(bench, directory.path(), 0);
    future.wait(Some(LONG));
    let runs = Runs::open(directory.path().join("data")).unwrap();
    let place = |task: &str| runs.task(&format!("{}/{task}", future.id())).unwrap();
    let sum: u64 = place("sum").result(Some(LONG)).unwrap().decode().unwrap();
    assert_eq!(sum, 6);
    let failed = place("fails");
    assert_eq!(failed.wait(Some(LONG)).kind, StateType::Failed);
    assert!(failed.result(Some(LONG)).unwrap_err().to_string().contains("as asked"));
    // The same by its own id.
    let by_id = runs.task(&failed.id().to_string()).unwrap();
    assert_eq!(by_id.outcome(), failed.outcome());
}

fn a_flow_is_cancelled_through_a_future_from_afar(bench: &Bench) {
    let directory = tempfile::tempdir().unwrap();
    let (_host, future) = start(bench, directory.path(), 600_000);
    let runs = Runs::open(directory.path().join("data")).unwrap();
    // Letting go of a future from afar does nothing to the run.
    drop(runs.flow("latest").unwrap());
    let afar = runs.flow("latest").unwrap();
    assert!(!afar.wait(Some(Duration::from_millis(100))).is_final());
    afar.cancel();
    assert_eq!(afar.wait(Some(LONG)).kind, StateType::Cancelled);
    assert_eq!(future.wait(Some(LONG)).kind, StateType::Cancelled);
}

fn one_run_of_a_flow_is_cancelled_from_afar(bench: &Bench) {
    if bench.executor.runs_in_submit {
        // The flow's own thread is in the run: it hears of nothing less than its own end.
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (_host, future) = start(bench, directory.path(), 600_000);
    let runs = Runs::open(directory.path().join("data")).unwrap();
    let place = format!("{}/wait", future.id());
    let waits = until(|| runs.task(&place).ok());
    until(|| (waits.state().kind == StateType::Running).then_some(()));
    waits.cancel();
    assert_eq!(waits.wait(Some(LONG)).kind, StateType::Cancelled);
    // The flow goes on, and comes to what it makes of that.
    let end = future.wait(Some(LONG));
    assert_eq!(end.kind, StateType::Failed, "{end}");
    let why = future.result(Some(LONG)).unwrap_err().to_string();
    assert!(why.contains("wait"), "{why}");
}

/// Asks again and again until there is an answer.
fn until<T>(ask: impl Fn() -> Option<T>) -> T {
    let asked = std::time::Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(asked.elapsed() < LONG, "it took too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn what_is_not_there_is_said_so(bench: &Bench) {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Runs::open(directory.path()), Err(AttachError::Store(_))));
    let (_host, future) = start(bench, directory.path(), 0);
    future.wait(Some(LONG));
    let runs = Runs::open(directory.path().join("data")).unwrap();
    for error in [
        runs.flow("0000000").unwrap_err(),
        runs.task("0000000").unwrap_err(),
        runs.task("latest/nothing").unwrap_err(),
    ] {
        assert!(matches!(error, AttachError::Store(_)), "{error}");
        assert!(!error.to_string().is_empty());
    }
}
