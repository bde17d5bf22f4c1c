//! `Task.map`.

use sandmill::future::OnError;
use sandmill::{FutureList, StateType, Value, Zip};
use sandmill_test_prefect::{LONG, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            each_element_is_a_run_in_order,
            "tests/test_tasks.py: TestTaskMap.test_simple_map"
        ),
        scenario!(
            lists_go_together_by_position,
            "src/prefect/task_runners.py: TaskRunner.map (`value[i]`)"
        ),
        scenario!(
            lists_of_different_lengths_are_refused,
            "src/prefect/task_runners.py: TaskRunner.map (`MappingLengthMismatch`)"
        ),
        scenario!(
            the_shortest_list_can_be_asked_for,
            "src/prefect/task_runners.py: TaskRunner.map (`MappingLengthMismatch`)",
            differs
        ),
        scenario!(
            no_elements_are_no_runs,
            "src/prefect/task_runners.py: TaskRunner.map (`map_length`)"
        ),
        scenario!(
            no_lists_are_no_runs,
            "src/prefect/task_runners.py: TaskRunner.map (`MappingMissingIterable`)",
            differs
        ),
        scenario!(
            what_is_not_mapped_is_the_same_for_all,
            "tests/test_tasks.py: TestTaskMap.test_unmapped_int"
        ),
        scenario!(
            a_list_can_be_kept_whole,
            "tests/test_tasks.py: TestTaskMap.test_unmapped_iterable"
        ),
        scenario!(
            values_may_come_from_anything_that_makes_them,
            "tests/test_tasks.py: TestTaskMap.test_map_can_take_generator_as_input"
        ),
        scenario!(
            a_result_can_be_mapped_over,
            "tests/test_tasks.py: TestTaskMap.test_map_can_take_future_as_input"
        ),
        scenario!(
            a_mapped_result_can_be_mapped_over,
            "tests/test_tasks.py: TestTaskMap.\
             test_map_preserves_dependencies_between_futures_all_mapped_children"
        ),
        scenario!(
            all_of_a_map_are_waited_for,
            "tests/test_tasks.py: TestTaskMap.test_wait_mapped_tasks"
        ),
        scenario!(
            all_results_of_a_map_are_had,
            "tests/test_tasks.py: TestTaskMap.test_get_results_all_mapped_tasks"
        ),
        scenario!(
            a_failed_element_costs_only_what_follows_from_it,
            "tests/test_tasks.py: TestTaskSubmit.test_allow_failure_chained_mapped_tasks"
        ),
        scenario!(
            a_map_over_what_failed_has_one_end,
            "src/prefect/task_runners.py: TaskRunner.map (`resolve_inputs_sync` raises)",
            differs
        ),
        scenario!(
            runs_know_their_place,
            "src/prefect/tasks.py: Task.create_run (`{self.name}-{dynamic_key}`)"
        ),
    ]
}

fn adding(stage: &Stage, right: i64) -> sandmill::Task {
    stage.host.task(&stage.probe, "add").unwrap().with("right", &right).unwrap()
}

fn numbers(list: &FutureList) -> Vec<i64> {
    let values = list.results(Some(LONG), OnError::Continue).unwrap();
    values.iter().map(|value| value.decode().unwrap()).collect()
}

fn values(numbers: &[i64]) -> Vec<Value> {
    numbers.iter().map(|number| Value::encode(number).unwrap()).collect()
}

fn json(stage: &Stage, text: &str) -> String {
    let flow = stage.flow(text);
    flow.result(Some(LONG)).unwrap_or_else(|error| panic!("{error}")).to_json_string()
}

fn each_element_is_a_run_in_order(stage: &Stage) {
    assert_eq!(numbers(&adding(stage, 1).map_over("left", [3, 1, 2])), [4, 2, 3]);
}

fn lists_go_together_by_position(stage: &Stage) {
    let lists = [("left", values(&[1, 2, 3])), ("right", values(&[10, 20, 30]))];
    let lists = lists.map(|(name, list)| (name.to_owned(), list)).into();
    let list = adding(stage, 0).map_zip(lists, Zip::Strict).unwrap();
    assert_eq!(numbers(&list), [11, 22, 33]);
}

fn unequal() -> Vec<(String, Vec<Value>)> {
    vec![("left".to_owned(), values(&[1, 2, 3])), ("right".to_owned(), values(&[10, 20]))]
}

/// Prefect's words are `Got lengths: {'x': 3, 'y': 2}`.
fn lists_of_different_lengths_are_refused(stage: &Stage) {
    let error = adding(stage, 0).map_zip(unequal(), Zip::Strict).unwrap_err();
    assert!(error.to_string().contains("`left` has 3, `right` has 2"), "{error}");
}

fn the_shortest_list_can_be_asked_for(stage: &Stage) {
    let list = adding(stage, 0).map_zip(unequal(), Zip::Shortest).unwrap();
    assert_eq!(numbers(&list), [11, 22]);
}

fn no_elements_are_no_runs(stage: &Stage) {
    let list = adding(stage, 1).map_over("left", Vec::<i64>::new());
    assert!(list.futures(Some(LONG)).is_empty());
    assert!(numbers(&list).is_empty());
    let text = "flow = { name = 'f', result = 'a.result' }\n\
                tasks.a = { call = 'probe.add', arguments.left = { map = [] } }";
    assert_eq!(json(stage, text), "[]");
}

/// Prefect raises. Nothing to go through is no element here, and in a flow file what maps over
/// nothing is a task that runs once.
fn no_lists_are_no_runs(stage: &Stage) {
    let list = adding(stage, 1).map_zip(Vec::new(), Zip::Strict).unwrap();
    assert!(list.futures(Some(LONG)).is_empty());
    let text = "flow = { name = 'f', result = 'a.result' }\n\
                tasks.a = { call = 'probe.add', arguments.left = 1 }";
    assert_eq!(json(stage, text), "2");
}

fn what_is_not_mapped_is_the_same_for_all(stage: &Stage) {
    assert_eq!(numbers(&adding(stage, 5).map_over("left", [1, 2])), [6, 7]);
    let text = "flow = { name = 'f', result = 'b.result' }\n\
                tasks.a = { call = 'probe.add', arguments.left = 4 }\n\
                tasks.b = { call = 'probe.add', arguments = { left = { map = [1, 2] }, right = { unmapped = 'a.result' } } }";
    assert_eq!(json(stage, text), "[6,7]");
}

fn a_list_can_be_kept_whole(stage: &Stage) {
    let text = "flow = { name = 'f', result = 'b.result' }\n\
                tasks.a = { call = 'probe.add', arguments.left = { map = [0, 1] } }\n\
                tasks.b = { call = 'probe.sum', arguments.numbers = { from = 'a.result' } }";
    assert_eq!(json(stage, text), "3");
}

fn values_may_come_from_anything_that_makes_them(stage: &Stage) {
    let task = adding(stage, 1);
    let squares = (1..).map(|number: i64| number * number).take_while(|square| *square < 20);
    assert_eq!(numbers(&task.map_over("left", squares)), [2, 5, 10, 17]);
}

fn a_result_can_be_mapped_over(stage: &Stage) {
    let text = "flow = { name = 'f', result = 'b.result' }\n\
                tasks.a = { call = 'probe.pack', arguments.parcel = { label = 'x', weight = 1.5, marks = {}, contents = [{ label = 'y', weight = 1.0, marks = {} }, { label = 'z', weight = 2.0, marks = {} }] } }\n\
                tasks.b = { call = 'probe.pack', arguments.parcel = { map = 'a.result.contents.0.contents' } }";
    let packed: serde_json::Value = serde_json::from_str(&json(stage, text)).unwrap();
    assert_eq!(packed[0]["label"], "box of y");
    assert_eq!(packed[1]["label"], "box of z");
    assert_eq!(packed.as_array().map(Vec::len), Some(2));
}

fn a_mapped_result_can_be_mapped_over(stage: &Stage) {
    let text = "flow = { name = 'f', result = 'b.result' }\n\
                tasks.a = { call = 'probe.add', arguments.left = { map = [1, 2, 3] } }\n\
                tasks.b = { call = 'probe.add', arguments = { left = { map = 'a.result' }, right = { map = 'a.result' } } }";
    assert_eq!(json(stage, text), "[4,6,8]");
}

fn all_of_a_map_are_waited_for(stage: &Stage) {
    let sorted = adding(stage, 1).map_over("left", 0..10).wait(None);
    assert_eq!((sorted.done.len(), sorted.not_done.len()), (10, 0));
    assert!(sorted.done.iter().all(|future| future.state().kind == StateType::Completed));
}

fn all_results_of_a_map_are_had(stage: &Stage) {
    let list = adding(stage, 1).map_over("left", 0..10);
    assert_eq!(numbers(&list), (1..=10).collect::<Vec<i64>>());
}

const HALVES: &str = "tasks.a = { call = 'probe.half', arguments.number = { map = [2, 5, 8] } }";

fn a_failed_element_costs_only_what_follows_from_it(stage: &Stage) {
    let flow = stage.flow(&format!(
        "flow = {{ name = 'f', result = {{ from = 'b.result', errors = 'skip' }} }}\n{HALVES}\n\
         tasks.b = {{ call = 'probe.add', arguments.left = {{ map = 'a.result' }} }}"
    ));
    let result = flow.result(Some(LONG)).unwrap();
    assert_eq!(result.to_json_string(), "[2,5]");
    let report = flow.report();
    let names: Vec<&str> = report.failed.iter().map(|run| &*run.name).collect();
    assert_eq!(names, ["a[1]", "b[1]"]);
    assert_eq!(report.failed[1].state.name, "TriggerFailed");
}

/// In Prefect `map` itself raises. Here it is a task of the flow that did not start.
fn a_map_over_what_failed_has_one_end(stage: &Stage) {
    let flow = stage.flow(
        "flow = { name = 'f', result = 'b.result' }\n\
         tasks.a = { call = 'probe.list', arguments.path = '/nowhere' }\n\
         tasks.b = { call = 'probe.shout', arguments.text = { map = 'a.result' } }",
    );
    assert_eq!(flow.wait(Some(LONG)).kind, StateType::Failed);
    let report = flow.report();
    let (name, state) = (&report.failed[1].name, &report.failed[1].state);
    assert_eq!((&**name, &*state.name), ("b", "TriggerFailed"));
    assert!(state.message.as_deref().unwrap().contains("`a`"), "{state}");
}

fn runs_know_their_place(stage: &Stage) {
    let task = stage.host.task(&stage.probe, "about_me").unwrap();
    let nothing = || Value::map_from([]).unwrap();
    let list = task.map([nothing(), nothing()]);
    for (index, future) in list.futures(Some(LONG)).iter().enumerate() {
        assert_eq!(future.name(), format!("about_me[{index}]"));
        assert_eq!(future.map_index(), Some(index as u64));
        let told = future.result(Some(LONG)).unwrap().to_json_string();
        assert!(told.contains(&format!("\"map_index\":{index}")), "{told}");
    }
}
