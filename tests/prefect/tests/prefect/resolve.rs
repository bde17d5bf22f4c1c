//! `resolve_futures_to_states` and `resolve_futures_to_results`.

use sandmill::future::{
    Errors, Nested, RunErrorKind, resolve_futures_to_results, resolve_futures_to_states,
    resolve_to_value,
};
use sandmill::{State, StateType, TaskFuture, Value};
use sandmill_test_prefect::{LONG, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            a_future_becomes_its_final_state,
            "tests/test_futures.py: TestResolveFuturesToStates.\
             test_resolve_futures_transforms_future"
        ),
        scenario!(
            data_without_futures_stays_as_it_is,
            "tests/test_futures.py: TestResolveFuturesToStates.\
             test_resolve_futures_to_states_with_no_futures"
        ),
        scenario!(
            a_list_of_futures_becomes_one_of_states,
            "tests/test_futures.py: TestResolveFuturesToStates.\
             test_resolve_futures_transforms_future_in_listlike_type"
        ),
        scenario!(
            keys_of_maps_are_resolved_too,
            "tests/test_futures.py: TestResolveFuturesToStates.\
             test_resolve_futures_transforms_future_in_dictlike_type"
        ),
        scenario!(
            fields_of_records_are_resolved,
            "tests/test_futures.py: TestResolveFuturesToStates.\
             test_resolve_futures_transforms_future_in_dataclass"
        ),
        scenario!(
            futures_are_found_however_deep,
            "tests/test_futures.py: TestResolveFuturesToStates.\
             test_resolves_futures_in_nested_collections"
        ),
        scenario!(
            failures_are_states_and_raise_nothing,
            "src/prefect/futures.py: resolve_futures_to_states (`future.wait()`, `future.state`)"
        ),
        scenario!(
            results_keep_the_shape,
            "tests/test_futures.py: TestResolveFuturesToResults.\
             test_resolves_futures_in_nested_collections"
        ),
        scenario!(
            results_without_futures_are_the_data,
            "tests/test_futures.py: TestResolveFuturesToResults.\
             test_resolve_futures_to_results_with_no_futures"
        ),
        scenario!(
            the_same_future_twice_gives_the_same_twice,
            "src/prefect/futures.py: _resolve_futures (`resolved_values`)"
        ),
        scenario!(
            a_list_of_a_map_becomes_plain_values,
            "tests/test_futures.py: TestResolveFuturesToResults.\
             test_resolve_futures_to_results_downcasts_prefect_future_list"
        ),
        scenario!(
            a_result_that_is_not_there_raises_with_its_cause,
            "src/prefect/futures.py: resolve_futures_to_results \
             (\"At least one result did not complete successfully\")",
            differs
        ),
    ]
}

fn leaf(future: &TaskFuture) -> Nested<TaskFuture> {
    Nested::Leaf(future.clone())
}

fn plain<L>(number: i64) -> Nested<L> {
    Nested::Value(Value::encode(&number).unwrap())
}

fn states(data: Nested<TaskFuture>) -> Nested<State> {
    resolve_futures_to_states(data, Some(LONG))
}

fn results(data: Nested<TaskFuture>) -> String {
    let values = resolve_futures_to_results(data, Some(LONG), Errors::Raise).unwrap();
    resolve_to_value(&values).unwrap().to_json_string()
}

fn kinds(states: &Nested<State>) -> Vec<StateType> {
    states.leaves().iter().map(|state| state.kind).collect()
}

fn a_future_becomes_its_final_state(stage: &Stage) {
    let future = stage.number(1);
    let Nested::Leaf(state) = states(leaf(&future)) else { panic!("it was a future") };
    assert_eq!(state.kind, StateType::Completed);
    assert_eq!(state, future.state());
}

fn data_without_futures_stays_as_it_is(_: &Stage) {
    let data = || Nested::List(vec![plain(1), Nested::Tuple(vec![plain(2)]), Nested::Option(None)]);
    assert_eq!(
        states(data()),
        Nested::List(vec![plain(1), Nested::Tuple(vec![plain(2)]), Nested::Option(None)])
    );
}

fn a_list_of_futures_becomes_one_of_states(stage: &Stage) {
    for make in [Nested::List, Nested::Tuple] {
        let found = states(make(vec![leaf(&stage.number(1)), leaf(&stage.number(2))]));
        assert_eq!(kinds(&found), [StateType::Completed; 2]);
        assert!(matches!(found, Nested::List(_) | Nested::Tuple(_)));
    }
}

fn keys_of_maps_are_resolved_too(stage: &Stage) {
    let (key, value) = (stage.number(1), stage.failing());
    let found = states(Nested::Map(vec![(leaf(&key), plain(0)), (plain(1), leaf(&value))]));
    let Nested::Map(entries) = found else { panic!("it was a map") };
    let Nested::Leaf(state) = &entries[0].0 else { panic!("the key was a future") };
    assert_eq!(state.kind, StateType::Completed);
    let Nested::Leaf(state) = &entries[1].1 else { panic!("the value was a future") };
    assert_eq!(state.kind, StateType::Failed);
    assert_eq!((&entries[0].1, &entries[1].0), (&plain(0), &plain(1)));
}

fn fields_of_records_are_resolved(stage: &Stage) {
    let fields = vec![
        ("a".to_owned(), plain(1)),
        ("foo".to_owned(), leaf(&stage.number(2))),
        ("bar".to_owned(), Nested::Option(Some(Box::new(leaf(&stage.number(3)))))),
    ];
    assert_eq!(results(Nested::Record(fields)), r#"{"a":1,"foo":2,"bar":3}"#);
}

fn deep(stage: &Stage) -> Nested<TaskFuture> {
    let one = leaf(&stage.number(1));
    let inner = Nested::Tuple(vec![leaf(&stage.number(2)), plain(3)]);
    let map = Nested::Map(vec![(Nested::Value(Value::encode("k").unwrap()), inner)]);
    Nested::List(vec![one, Nested::Record(vec![("deep".to_owned(), map)])])
}

fn futures_are_found_however_deep(stage: &Stage) {
    let data = deep(stage);
    assert_eq!(data.leaves().len(), 2);
    assert_eq!(kinds(&states(data)), [StateType::Completed; 2]);
}

fn failures_are_states_and_raise_nothing(stage: &Stage) {
    let data = Nested::List(vec![leaf(&stage.failing()), leaf(&stage.number(1))]);
    assert_eq!(kinds(&states(data)), [StateType::Failed, StateType::Completed]);
}

fn results_keep_the_shape(stage: &Stage) {
    assert_eq!(results(deep(stage)), r#"[1,{"deep":{"k":[2,3]}}]"#);
}

fn results_without_futures_are_the_data(_: &Stage) {
    assert_eq!(results(Nested::List(vec![plain(1), plain(2)])), "[1,2]");
}

fn the_same_future_twice_gives_the_same_twice(stage: &Stage) {
    let (one, other) = (stage.number(42), stage.number(1));
    let data = Nested::List(vec![leaf(&one), leaf(&other), leaf(&one)]);
    assert_eq!(results(data), "[42,1,42]");
}

fn a_list_of_a_map_becomes_plain_values(stage: &Stage) {
    let task = stage.host.task(&stage.probe, "add").unwrap().with("right", &1).unwrap();
    let futures = task.map_over("left", 0..3).futures(Some(LONG));
    assert_eq!(results(Nested::List(futures.iter().map(leaf).collect())), "[1,2,3]");
}

/// Prefect's error does not say which one, or why.
fn a_result_that_is_not_there_raises_with_its_cause(stage: &Stage) {
    let failing = stage.failing();
    let data = || Nested::List(vec![leaf(&stage.number(1)), leaf(&failing), leaf(&failing)]);
    let error = resolve_futures_to_results(data(), Some(LONG), Errors::Raise).unwrap_err();
    assert_eq!((error.run, &*error.name), (failing.id(), "half"));
    assert!(matches!(&error.kind, RunErrorKind::Failure(failure) if failure.kind == "odd"));
    // One can also do without them.
    let rest = resolve_futures_to_results(data(), Some(LONG), Errors::Skip).unwrap();
    assert_eq!(resolve_to_value(&rest).unwrap().to_json_string(), "[1]");
}
