//! How flows end, what they are to those who hold their futures, and what tasks make of the ends
//! of the tasks before them.

use std::sync::mpsc;

use sandmill::flow_file::FlowRunFuture;
use sandmill::future::RunErrorKind;
use sandmill::{EndKind, StateType};
use sandmill_test_prefect::{LONG, SHORT, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            a_flow_completes_when_its_results_do,
            "tests/test_states.py: TestReturnValueToState.test_all_completed_states"
        ),
        scenario!(
            a_flow_fails_when_one_of_its_results_does,
            "docs/v3/concepts/flows.mdx: Return multiple states or futures"
        ),
        scenario!(
            a_flow_says_how_many_results_are_missing,
            "tests/test_states.py: TestReturnValueToState.test_some_failed_states"
        ),
        scenario!(
            a_failure_that_is_no_result_fails_no_flow,
            "docs/v3/concepts/flows.mdx: Return a future"
        ),
        scenario!(
            without_results_the_last_tasks_decide,
            "docs/snippets/final-flow-state.mdx (\"In _any other situation_\")",
            differs
        ),
        scenario!(
            a_mapped_result_is_a_plain_list,
            "tests/test_futures.py: TestFlowReturningMappedFutures.\
             test_flow_returning_mapped_task_result"
        ),
        scenario!(
            a_result_goes_where_it_is_an_argument,
            "tests/test_tasks.py: TestTaskSubmit.test_downstream_runs_if_upstream_succeeds"
        ),
        scenario!(
            a_task_whose_input_failed_does_not_run,
            "tests/test_tasks.py: TestTaskSubmit.test_downstream_does_not_run_if_upstream_fails",
            differs
        ),
        scenario!(
            a_task_can_take_the_failure_as_its_input,
            "tests/test_tasks.py: TestTaskSubmit.\
             test_downstream_receives_exception_if_upstream_fails_and_allow_failure"
        ),
        scenario!(
            a_task_waits_for_another_without_its_result,
            "tests/test_tasks.py: TestTaskWaitFor.test_downstream_runs_if_upstream_succeeds"
        ),
        scenario!(
            a_task_does_not_run_after_one_that_failed,
            "tests/test_tasks.py: TestTaskWaitFor.test_downstream_does_not_run_if_upstream_fails",
            differs
        ),
        scenario!(
            a_task_can_run_after_one_that_failed,
            "tests/test_tasks.py: TestTaskWaitFor.\
             test_downstream_runs_if_upstream_fails_with_allow_failure_annotation"
        ),
        scenario!(
            a_flow_that_takes_too_long_is_timed_out,
            "tests/test_flows.py: TestFlowTimeouts.test_flows_fail_with_timeout"
        ),
        scenario!(
            a_timeout_that_is_not_reached_does_nothing,
            "tests/test_flows.py: TestFlowTimeouts.test_timeout_only_applies_if_exceeded"
        ),
        scenario!(
            a_timeout_of_a_task_is_not_one_of_the_flow,
            "tests/test_flows.py: TestFlowTimeouts.test_user_timeout_is_not_hidden"
        ),
        scenario!(
            what_runs_when_a_flow_is_out_of_time_is_stopped,
            "tests/test_flows.py: TestFlowTimeouts.\
             test_timeout_does_not_wait_for_completion_for_sync_flows",
            differs
        ),
        scenario!(
            a_flow_waits_no_longer_than_it_is_told,
            "tests/test_futures.py: TestPrefectFlowRunFuture.test_wait_with_timeout"
        ),
        scenario!(
            a_flow_waits_until_its_end,
            "tests/test_futures.py: TestPrefectFlowRunFuture.test_wait_without_timeout"
        ),
        scenario!(
            a_flow_gives_its_result,
            "tests/test_futures.py: TestPrefectFlowRunFuture.test_result_with_final_state"
        ),
        scenario!(
            a_flow_raises_its_failure,
            "tests/test_futures.py: TestPrefectFlowRunFuture.\
             test_result_with_final_state_and_raise_on_failure"
        ),
        scenario!(
            a_flow_calls_back,
            "src/prefect/futures.py: PrefectFlowRunFuture.add_done_callback"
        ),
        scenario!(
            a_cancelled_flow_stops_its_tasks,
            "docs/v3/advanced/cancel-workflows.mdx (\"`CANCELLED` is the final state\")"
        ),
    ]
}

/// Two tasks, the second of which fails, and what the flow comes to.
fn two(result: &str) -> String {
    format!(
        "flow = {{ name = 'two', {result} }}\n\
         tasks.good = {{ call = 'probe.add', arguments.left = 1 }}\n\
         tasks.bad = {{ call = 'probe.half', arguments.number = 5 }}"
    )
}

/// How a flow ended: its state's type, name and message.
fn end(flow: &FlowRunFuture) -> (StateType, String, String) {
    let state = flow.wait(Some(LONG));
    assert!(state.is_final(), "{state}");
    (state.kind, state.name.to_string(), state.message.unwrap_or_default().to_string())
}

fn json(flow: &FlowRunFuture) -> String {
    flow.result(Some(LONG)).unwrap_or_else(|error| panic!("{error}")).to_json_string()
}

/// The names of the states that a task's runs ended in.
fn ends(flow: &FlowRunFuture, task: &str) -> Vec<String> {
    let report = flow.report();
    let stage = report.stages.iter().find(|stage| &*stage.name == task).expect("there is one");
    stage.ended.iter().flat_map(|(name, count)| vec![name.to_string(); *count as usize]).collect()
}

/// A task that goes on until it is stopped.
const ENDLESS: &str =
    "tasks.a = { call = 'probe.sleep', arguments.millis = 600000, timeout = '1h' }";

fn a_flow_completes_when_its_results_do(stage: &Stage) {
    let flow = stage.flow(
        "flow = { name = 'f', result = ['a.result', 'b.result'] }\n\
         tasks.a = { call = 'probe.add', arguments.left = 1 }\n\
         tasks.b = { call = 'probe.add', arguments.left = 2 }",
    );
    assert_eq!(json(&flow), "[2,3]");
    assert_eq!(end(&flow).0, StateType::Completed);
}

fn a_flow_fails_when_one_of_its_results_does(stage: &Stage) {
    let flow = stage.flow(&two("result = ['good.result', 'bad.result']"));
    let (kind, name, message) = end(&flow);
    assert_eq!((kind, name.as_str()), (StateType::Failed, "Failed"));
    assert!(message.contains("`bad`") && message.contains("5 is odd"), "{message}");
    assert_eq!(ends(&flow, "good"), ["Completed"]);
}

/// Prefect's words are `2/3 states failed.`
fn a_flow_says_how_many_results_are_missing(stage: &Stage) {
    let flow = stage.flow(&format!(
        "{}\ntasks.worse = {{ call = 'probe.half', arguments.number = 7 }}",
        two("result = ['good.result', 'bad.result', 'worse.result']")
    ));
    let (kind, _, message) = end(&flow);
    assert_eq!(kind, StateType::Failed);
    assert!(message.contains("2 of 3 results are not there"), "{message}");
}

fn a_failure_that_is_no_result_fails_no_flow(stage: &Stage) {
    let flow = stage.flow(&two("result = 'good.result'"));
    assert_eq!(json(&flow), "2");
    assert_eq!(end(&flow).0, StateType::Completed);
    assert_eq!(flow.report().failed_count(), 1, "it is told of all the same");
}

/// Prefect's flow would complete: nobody looked at the task that failed.
fn without_results_the_last_tasks_decide(stage: &Stage) {
    let flow = stage.flow(&two(""));
    let (kind, _, message) = end(&flow);
    assert_eq!(kind, StateType::Failed);
    assert!(message.contains("1 of 2 last tasks did not complete"), "{message}");
}

fn a_mapped_result_is_a_plain_list(stage: &Stage) {
    let flow = stage.flow(
        "flow = { name = 'f', result = 'a.result' }\n\
         tasks.a = { call = 'probe.add', arguments.left = { map = [1, 2, 3] } }",
    );
    assert_eq!(json(&flow), "[2,3,4]");
}

fn a_result_goes_where_it_is_an_argument(stage: &Stage) {
    let flow = stage.flow(
        "flow = { name = 'f', result = 'b.result' }\n\
         tasks.a = { call = 'probe.add', arguments.left = 1 }\n\
         tasks.b = { call = 'probe.add', arguments = { left = { from = 'a.result' }, right = { from = 'a.result' } } }",
    );
    assert_eq!(json(&flow), "4");
}

/// In Prefect it is `NotReady`, of the type `PENDING`, for good. Ours has an end: a failure, by the
/// name that it had in Prefect 0.x.
fn a_task_whose_input_failed_does_not_run(stage: &Stage) {
    let flow = stage.flow(&format!(
        "{}\ntasks.after = {{ call = 'probe.add', arguments.left = {{ from = 'bad.result' }} }}",
        two("result = 'after.result'")
    ));
    let (kind, _, message) = end(&flow);
    assert_eq!(kind, StateType::Failed);
    assert!(message.contains("`bad`") && message.contains("5 is odd"), "{message}");
    assert_eq!(ends(&flow, "after"), ["TriggerFailed"]);
    let report = flow.report();
    let after = report.failed.iter().find(|run| &*run.name == "after").unwrap();
    assert_eq!(after.state.kind, StateType::Failed);
}

fn a_task_can_take_the_failure_as_its_input(stage: &Stage) {
    let text = |errors: &str| {
        format!(
            "flow = {{ name = 'f', result = {{ from = 'bad.result', errors = '{errors}' }} }}\n\
             tasks.bad = {{ call = 'probe.half', arguments.number = 5 }}"
        )
    };
    let states = stage.flow(&text("states"));
    let told = json(&states);
    for part in [r#""state":"failed""#, r#""name":"Failed""#, "5 is odd"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert_eq!(json(&stage.flow(&text("skip"))), "null");
    // A list with those that are there, as an argument.
    let flow = stage.flow(
        "flow = { name = 'f', result = 'sum.result' }\n\
         tasks.halves = { call = 'probe.half', arguments.number = { map = [2, 5, 8] } }\n\
         tasks.sum = { call = 'probe.sum', arguments.numbers = { from = 'halves.result', errors = 'skip' } }",
    );
    assert_eq!(json(&flow), "5");
    assert_eq!(ends(&flow, "halves"), ["Completed", "Completed", "Failed"]);
}

fn a_task_waits_for_another_without_its_result(stage: &Stage) {
    let flow = stage.flow(
        "flow = { name = 'f', result = 'b.result' }\n\
         tasks.a = { call = 'probe.nothing' }\n\
         tasks.b = { call = 'probe.add', arguments.left = 2, after = ['a'] }",
    );
    assert_eq!(json(&flow), "3");
}

fn a_task_does_not_run_after_one_that_failed(stage: &Stage) {
    let flow = stage.flow(&format!(
        "{}\ntasks.after = {{ call = 'probe.nothing', after = ['good', 'bad'] }}",
        two("result = 'after.result'")
    ));
    assert_eq!(end(&flow).0, StateType::Failed);
    assert_eq!(ends(&flow, "after"), ["TriggerFailed"]);
}

fn a_task_can_run_after_one_that_failed(stage: &Stage) {
    for trigger in ["all-finished", "any-failed", "any-successful"] {
        let flow = stage.flow(&format!(
            "{}\ntasks.after = {{ call = 'probe.add', arguments.left = 6, \
             after = ['good', 'bad'], trigger = '{trigger}' }}",
            two("result = 'after.result'")
        ));
        assert_eq!(json(&flow), "7", "{trigger}");
    }
}

fn a_flow_that_takes_too_long_is_timed_out(stage: &Stage) {
    let flow = stage.flow(&format!("flow = {{ name = 'f', timeout = '100ms' }}\n{ENDLESS}"));
    let (kind, name, message) = end(&flow);
    assert_eq!((kind, name.as_str()), (StateType::Failed, "TimedOut"));
    assert_eq!(message, "the flow was not done within 100ms");
}

fn a_timeout_that_is_not_reached_does_nothing(stage: &Stage) {
    let flow = stage.flow(
        "flow = { name = 'f', result = 'a.result', timeout = '10m' }\n\
         tasks.a = { call = 'probe.add', arguments.left = 1 }",
    );
    assert_eq!(json(&flow), "2");
}

fn a_timeout_of_a_task_is_not_one_of_the_flow(stage: &Stage) {
    let flow = stage.flow(
        "flow = { name = 'f', result = 'a.result', timeout = '10m' }\n\
         tasks.a = { call = 'probe.sleep', arguments.millis = 600000, timeout = '50ms' }",
    );
    let (kind, name, message) = end(&flow);
    assert_eq!((kind, name.as_str()), (StateType::Failed, "Failed"));
    assert!(message.contains("TimedOut"), "{message}");
    assert_eq!(ends(&flow, "a"), ["TimedOut"]);
}

/// Prefect cannot stop them: they go on behind the flow's back.
fn what_runs_when_a_flow_is_out_of_time_is_stopped(stage: &Stage) {
    let flow = stage.flow(&format!("flow = {{ name = 'f', timeout = '300ms' }}\n{ENDLESS}"));
    assert_eq!(end(&flow).1, "TimedOut");
    let report = flow.report();
    assert_eq!((report.stages[0].running, report.stages[0].completed), (0, 0));
}

fn a_flow_waits_no_longer_than_it_is_told(stage: &Stage) {
    let flow = stage.flow(&format!("flow.name = 'f'\n{ENDLESS}"));
    let state = flow.wait(Some(SHORT));
    assert!(!state.is_final(), "{state}");
    let error = flow.result(Some(SHORT)).unwrap_err();
    assert!(error.is_wait_timeout());
    assert!(error.to_string().contains(&flow.id().to_string()), "{error}");
    flow.cancel();
    assert!(flow.wait(Some(LONG)).is_final());
}

fn a_flow_waits_until_its_end(stage: &Stage) {
    let flow = stage.flow(&two("result = 'good.result'"));
    assert_eq!(flow.wait(None).kind, StateType::Completed);
    assert_eq!(flow.state(), flow.wait(None));
}

fn a_flow_gives_its_result(stage: &Stage) {
    let flow = stage.flow(&two("result = 'good.result'"));
    assert_eq!(flow.result(None).unwrap().decode::<i64>().unwrap(), 2);
}

fn a_flow_raises_its_failure(stage: &Stage) {
    let flow = stage.flow(&two("result = 'bad.result'"));
    let error = flow.result(Some(LONG)).unwrap_err();
    assert_eq!(error.run, flow.id());
    let RunErrorKind::Failure(failure) = &error.kind else { panic!("{error}") };
    assert_eq!(failure.kind, "task-failed");
    assert!(failure.message.contains("5 is odd"), "{failure}");
    assert!(flow.outcome().is_some_and(|outcome| !outcome.is_success()), "without raising");
}

fn a_flow_calls_back(stage: &Stage) {
    let flow = stage.flow(&two("result = 'good.result'"));
    let (sender, receiver) = mpsc::channel();
    let later = sender.clone();
    flow.on_done(move |flow| sender.send(flow.state().kind).unwrap());
    assert_eq!(receiver.recv_timeout(LONG), Ok(StateType::Completed));
    flow.on_done(move |flow| later.send(flow.state().kind).unwrap());
    assert_eq!(receiver.try_recv(), Ok(StateType::Completed), "at once after the end");
}

fn a_cancelled_flow_stops_its_tasks(stage: &Stage) {
    let flow = stage.flow(&format!("flow.name = 'f'\n{ENDLESS}"));
    while flow.report().stages.first().is_none_or(|stage| stage.running == 0) {
        assert!(!flow.is_done(), "{}", flow.state());
        std::thread::yield_now();
    }
    flow.cancel();
    let (kind, name, _) = end(&flow);
    assert_eq!((kind, name.as_str()), (StateType::Cancelled, "Cancelled"));
    let error = flow.result(None).unwrap_err();
    assert_eq!(error.end_kind(), Some(EndKind::Cancelled));
    assert_eq!(ends(&flow, "a"), ["Cancelled"]);
}
