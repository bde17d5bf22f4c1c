//! Maps: order, windows, errors, and several lists at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sandmill::future::OnError;
use sandmill::{Call, EndKind, MapOptions, Value, Zip, args};
use sandmill_test_conformance::{Bench, LONG};

use crate::table::{Case, checks};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        results_are_in_the_order_of_the_calls,
        a_map_of_nothing_is_empty,
        a_failure_costs_no_other_run,
        fail_fast_cancels_the_rest,
        an_error_surfaces_at_once_and_can_cancel_the_rest,
        lists_are_zipped_strictly_or_by_the_shortest,
        a_window_bounds_what_is_made,
        every_run_knows_its_place,
        as_completed_gives_every_run_once,
    ]
}

fn halves(bench: &Bench, numbers: Vec<u64>) -> impl Iterator<Item = Call> + Send + 'static {
    let component = bench.guest("probe");
    numbers.into_iter().zip(0..).map(move |(number, index)| {
        let arguments = args! { "number" => number }.expect("a number is an argument");
        Call::new(&component, "half", arguments).at_index(index)
    })
}

fn results_are_in_the_order_of_the_calls(bench: &Bench) {
    let task = bench.host.task(&bench.guest("probe"), "half").unwrap();
    let list = task.map_over("number", (0..500_u64).map(|number| number * 2));
    let values = list.results(Some(LONG), OnError::Continue).unwrap();
    let values: Vec<u64> = values.iter().map(|value| value.decode().unwrap()).collect();
    assert_eq!(values, (0..500).collect::<Vec<u64>>());
}

fn a_map_of_nothing_is_empty(bench: &Bench) {
    let task = bench.host.task(&bench.guest("probe"), "half").unwrap();
    let list = task.map_over("number", Vec::<u64>::new());
    assert!(list.results(Some(LONG), OnError::Continue).unwrap().is_empty());
    assert!(list.futures(Some(LONG)).is_empty());
    let nothing = task.map_zip(Vec::new(), Zip::Strict).unwrap();
    assert_eq!(nothing.wait(Some(LONG)).done.len(), 0);
}

fn a_failure_costs_no_other_run(bench: &Bench) {
    let list = bench.host.map(halves(bench, (0..40).collect()), MapOptions::default());
    let waited = list.wait(Some(LONG));
    assert_eq!((waited.done.len(), waited.not_done.len()), (40, 0));
    for (future, number) in waited.done.into_iter().zip(0_u64..) {
        let ran = bench.ran(future);
        if number % 2 == 0 {
            assert_eq!(ran.value::<u64>(), number / 2);
        } else {
            assert_eq!(ran.failure().0, "odd");
        }
    }
}

fn fail_fast_cancels_the_rest(bench: &Bench) {
    // Enough to still have some left when the first has failed.
    let numbers = std::iter::once(1).chain((0..100_000).map(|number| number * 2)).collect();
    let options = MapOptions { fail_fast: true, ..MapOptions::default() };
    let list = bench.host.map(halves(bench, numbers), options);
    let futures = list.wait(Some(LONG)).done;
    assert!(futures.len() < 100_001, "not every call was made");
    let first = bench.ran(futures[0].clone());
    assert_eq!(first.failure().0, "odd");
    for future in futures.into_iter().skip(1) {
        let ran = bench.ran(future);
        match &ran.outcome {
            sandmill::Outcome::Value(_) => {}
            sandmill::Outcome::Ended(end) => assert_eq!(end.kind, EndKind::Cancelled),
            other => panic!("{other:?}"),
        }
    }
}

fn an_error_surfaces_at_once_and_can_cancel_the_rest(bench: &Bench) {
    let numbers = (0..100_000).map(|number| number * 2 + u64::from(number == 3)).collect();
    let window = MapOptions { window: Some(8), ..MapOptions::default() };
    let list = bench.host.map(halves(bench, numbers), window);
    let error = list.results(Some(LONG), OnError::Cancel).unwrap_err();
    assert!(error.to_string().contains("half[3]"), "{error}");
    assert!(error.to_string().contains("7 is odd"), "{error}");
    assert!(list.futures(Some(LONG)).len() < 100_000, "the rest was not made");
}

fn lists_are_zipped_strictly_or_by_the_shortest(bench: &Bench) {
    let task = bench.host.task(&bench.guest("probe"), "add").unwrap();
    let list = |name: &str, numbers: &[i64]| {
        let values = numbers.iter().map(|number| Value::encode(number).unwrap()).collect();
        (name.to_owned(), values)
    };
    let lists = || vec![list("left", &[1, 2, 3]), list("right", &[10, 20])];
    let error = task.map_zip(lists(), Zip::Strict).map(drop).unwrap_err();
    assert!(error.to_string().contains("`left` has 3, `right` has 2"), "{error}");
    let sums = task.map_zip(lists(), Zip::Shortest).unwrap();
    let sums = sums.results(Some(LONG), OnError::Continue).unwrap();
    let sums: Vec<i64> = sums.iter().map(|sum| sum.decode().unwrap()).collect();
    assert_eq!(sums, [11, 22]);
}

fn a_window_bounds_what_is_made(bench: &Bench) {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let many = bench.many(20_000);
    let numbers = (0..many).map(|number| number * 2).collect();
    let calls = halves(bench, numbers).inspect(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let options = MapOptions { window: Some(16), ..MapOptions::default() };
    for (future, number) in bench.host.map(calls, options).into_ordered().zip(0_usize..) {
        let ahead = made.load(Ordering::SeqCst) - number;
        assert!(ahead <= 18, "{ahead} calls were made ahead at {number}");
        assert_eq!(bench.ran(future).value::<usize>(), number);
    }
    assert_eq!(made.load(Ordering::SeqCst) as u64, many);
}

fn every_run_knows_its_place(bench: &Bench) {
    let task = bench.host.task(&bench.guest("probe"), "about_me").unwrap();
    let list = task.map((0..20).map(|_| args! {}.unwrap()));
    for (future, place) in list.futures(Some(LONG)).into_iter().zip(0_u64..) {
        assert_eq!(future.map_index(), Some(place));
        assert_eq!(future.name(), format!("about_me[{place}]"));
        let about: serde_json::Value = bench.ran(future).value();
        assert_eq!(about["map_index"], place);
    }
}

fn as_completed_gives_every_run_once(bench: &Bench) {
    let task = bench.host.task(&bench.guest("probe"), "half").unwrap();
    let list = task.map_over("number", (0..300_u64).map(|number| number * 2));
    let mut found: Vec<u64> = list
        .into_as_completed(Some(LONG))
        .map(|future| {
            let future = future.expect("all end in time");
            assert!(future.is_done());
            bench.ran(future).value()
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, (0..300).collect::<Vec<u64>>());
}
