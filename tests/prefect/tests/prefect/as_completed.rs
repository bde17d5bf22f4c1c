//! `prefect.futures.as_completed`.

use std::thread;
use std::time::Duration;

use sandmill::TaskFuture;
use sandmill::future::as_completed;
use sandmill_test_prefect::{Held, LONG, SHORT, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            each_is_given_when_it_has_ended,
            "tests/test_futures.py: TestUtilityFunctions.test_as_completed"
        ),
        scenario!(
            those_that_have_ended_come_first,
            "src/prefect/futures.py: as_completed (`yield from done`)",
            waiting
        ),
        scenario!(
            the_others_come_as_they_end,
            "tests/test_futures.py: TestUtilityFunctions.test_as_completed_yields_correct_order",
            waiting
        ),
        scenario!(duplicates_come_once, "src/prefect/futures.py: as_completed (`set(futures)`)"),
        scenario!(
            failures_come_like_the_others,
            "src/prefect/futures.py: as_completed (\"yield future\", whatever its state)"
        ),
        scenario!(
            a_timeout_says_how_many_are_left,
            "tests/test_futures.py: TestUtilityFunctions.test_as_completed_with_timeout",
            waiting
        ),
        scenario!(
            a_timeout_is_kept_on_any_thread,
            "tests/test_futures.py: TestUtilityFunctions.\
             test_as_completed_with_timeout_from_worker_thread",
            waiting
        ),
        scenario!(
            no_time_at_all_gives_what_has_ended,
            "tests/test_futures.py: TestUtilityFunctions.\
             test_as_completed_with_zero_timeout_yields_completed_future"
        ),
        scenario!(
            only_waiting_counts_against_the_timeout,
            "src/prefect/futures.py: as_completed (`timeout_context` around each `yield`)",
            waiting,
            differs
        ),
        scenario!(no_futures_is_the_end, "src/prefect/futures.py: as_completed (`while pending`)"),
    ]
}

fn each_is_given_when_it_has_ended(stage: &Stage) {
    let futures: Vec<TaskFuture> = (0..5).map(|number| stage.number(number)).collect();
    let mut numbers: Vec<i64> = as_completed(futures, None)
        .map(|future| {
            let future = future.unwrap();
            assert!(future.is_done());
            future.typed().result(Some(Duration::ZERO)).unwrap()
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}

fn those_that_have_ended_come_first(stage: &Stage) {
    let hangs = stage.held();
    let ended: Vec<TaskFuture> = (0..3).map(|number| stage.number(number)).collect();
    ended.iter().for_each(|future| assert!(future.wait(Some(LONG)).is_final()));
    let all = [vec![hangs.0.clone()], ended.clone()].concat();
    let mut group = as_completed(all, Some(LONG));
    let first: Vec<TaskFuture> = group.by_ref().take(3).map(|future| future.unwrap()).collect();
    assert_eq!(first, ended);
    hangs.release();
    assert_eq!(group.next().unwrap().unwrap(), hangs.0);
    assert!(group.next().is_none());
}

fn the_others_come_as_they_end(stage: &Stage) {
    let held: Vec<Held> = (0..3).map(|_| stage.held()).collect();
    let mut group = as_completed(held.iter().map(|held| held.0.clone()), Some(LONG));
    for held in held.iter().rev() {
        held.release();
        assert_eq!(group.next().unwrap().unwrap(), held.0);
    }
    assert!(group.next().is_none());
}

fn duplicates_come_once(stage: &Stage) {
    let (one, other) = (stage.number(1), stage.number(2));
    let futures = [one.clone(), other.clone(), one.clone(), other, one];
    let given: Vec<_> = as_completed(futures, Some(LONG)).map(|future| future.unwrap()).collect();
    assert_eq!(given.len(), 2, "{given:?}");
}

fn failures_come_like_the_others(stage: &Stage) {
    let futures = [stage.failing(), stage.number(1)];
    let given: Vec<_> = as_completed(futures, Some(LONG)).map(|future| future.unwrap()).collect();
    assert_eq!(given.iter().filter(|future| future.state().name == "Failed").count(), 1);
    assert_eq!(given.iter().filter(|future| future.state().name == "Completed").count(), 1);
}

/// Prefect's words are `1 (of 6) futures unfinished`.
fn a_timeout_says_how_many_are_left(stage: &Stage) {
    let mut futures: Vec<TaskFuture> = (0..5).map(|number| stage.number(number)).collect();
    futures.iter().for_each(|future| assert!(future.wait(Some(LONG)).is_final()));
    let hangs = stage.held();
    futures.push(hangs.0.clone());
    let mut group = as_completed(futures, Some(SHORT));
    assert_eq!(group.by_ref().take_while(Result::is_ok).count(), 5);
    assert!(group.next().is_none(), "the timeout is the last item");
    let timeout = as_completed([hangs.0.clone()], Some(SHORT)).next().unwrap().unwrap_err();
    assert_eq!((timeout.unfinished, timeout.total), (1, 1));
    assert_eq!(timeout.to_string(), "1 of 1 futures unfinished");
    assert!(!hangs.0.is_done(), "the run goes on");
    hangs.let_go();
}

fn a_timeout_is_kept_on_any_thread(stage: &Stage) {
    let hangs = stage.held();
    let consumer = thread::spawn({
        let future = hangs.0.clone();
        move || as_completed([future], Some(SHORT)).map(Result::unwrap_err).collect::<Vec<_>>()
    });
    let timeouts = consumer.join().unwrap();
    assert_eq!(timeouts.len(), 1);
    assert_eq!(timeouts[0].to_string(), "1 of 1 futures unfinished");
    hangs.let_go();
}

fn no_time_at_all_gives_what_has_ended(stage: &Stage) {
    let future = stage.number(42);
    future.wait(Some(LONG));
    let mut group = as_completed([future], Some(Duration::ZERO));
    assert_eq!(group.next().unwrap().unwrap().typed::<i64>().result(None).unwrap(), 42);
    assert!(group.next().is_none());
}

/// In Prefect the loop's body takes from the timeout too: the third future here would be late.
fn only_waiting_counts_against_the_timeout(stage: &Stage) {
    let timeout = Duration::from_millis(200);
    let futures: Vec<TaskFuture> = (0..3).map(|number| stage.number(number)).collect();
    futures.iter().for_each(|future| assert!(future.wait(Some(LONG)).is_final()));
    let mut given = 0;
    for future in as_completed(futures, Some(timeout)) {
        future.expect("there was nothing to wait for");
        given += 1;
        thread::sleep(timeout);
    }
    assert_eq!(given, 3);
}

fn no_futures_is_the_end(_: &Stage) {
    assert!(as_completed([], Some(LONG)).next().is_none());
}
