//! Flows over maps, chains of calls, and sub-flows.

use std::time::Duration;

use sandmill_guest::flow::{Cache, DEFAULT, Options, Retries, Task, as_completed, each};
use sandmill_guest::{Failure, flow};

use crate::tasks::{add, half, letters, square, total, words};

/// The sum of the squares below `count`, added up as they come.
#[flow]
pub(crate) fn sum_of_squares(count: u64) -> Result<u64, Failure> {
    let squares = square::map(each(0..count));
    let mut sum = 0_u64;
    for run in as_completed(&squares, None) {
        sum += run?.result(None)?;
    }
    Ok(sum)
}

/// The same, added up by a task: the squares do not pass through the flow.
#[flow]
pub(crate) fn sum_in_task(count: u64) -> Result<u64, Failure> {
    let squares = square::map(each(0..count));
    Ok(total::submit(&squares).result(None)?)
}

/// `2 * (number * number)`, then its half, each by a task that takes the one before.
#[flow]
pub(crate) fn chain(number: u64) -> Result<u64, Failure> {
    let squared = square::submit(number);
    let doubled = add::submit(&squared, &squared);
    let halved = half::submit(&doubled);
    Ok(halved.result(None)?)
}

/// Three maps, each over the results of the one before, where each call waits for its own.
#[flow]
pub(crate) fn pipeline(numbers: Vec<u64>) -> Result<Vec<u64>, Failure> {
    let doubled = add::map(each(&numbers), each(&numbers));
    let halved = half::map(each(&doubled));
    let next = add::map(each(&halved), DEFAULT);
    Ok(next.results(None)?)
}

/// A map over the array that a task returns.
#[flow]
pub(crate) fn mapped_result(text: String) -> Result<Vec<u64>, Failure> {
    let words = words::submit(text);
    let letters = letters::map(each(&words));
    Ok(letters.results(None)?)
}

/// Maps, waits until half have ended, does something else, takes the rest as they end, and adds
/// up all.
#[flow]
pub(crate) fn half_then_rest(numbers: Vec<u64>) -> Result<u64, Failure> {
    let squares = square::map(each(&numbers));
    let mut ended = as_completed(&squares, None);
    let mut sum = 0;
    for run in ended.by_ref().take(numbers.len() / 2) {
        sum += run?.result(None)?;
    }
    let between = add::submit(sum, 0).result(None)?;
    let mut rest = 0;
    for run in ended {
        rest += run?.result(None)?;
    }
    Ok(between + rest)
}

/// Another flow, twice, and a task over what they give.
#[flow]
pub(crate) fn nested(count: u64) -> Result<u64, Failure> {
    let parts = sum_of_squares::map(each([count, count + 1]));
    Ok(total::submit(&parts).result(None)?)
}

/// A flow that calls a flow that calls flows.
#[flow]
pub(crate) fn twice_removed(count: u64) -> Result<u64, Failure> {
    Ok(nested::submit(count).result(None)?)
}

/// Calls a task of another component by name, once and in a map.
#[flow]
pub(crate) fn nested_by_name(
    component: String,
    task: String,
    parameter: String,
    values: Vec<u64>,
) -> Result<Vec<u64>, Failure> {
    let target = Task::<u64>::of(component, task);
    let once = target.arg(&parameter, values.first().copied().unwrap_or_default()).submit();
    let mut results = target.each(&parameter, &values).map().results(None)?;
    results.insert(0, once.result(None)?);
    Ok(results)
}

/// Says everything that a call can say.
#[flow]
pub(crate) fn every_option(number: u64) -> Result<u64, Failure> {
    let retries = Retries::new(2)
        .exponential(Duration::from_millis(1), 2.0)
        .jitter(0.5)
        .on(["timed-out", "flaky"])
        .memory_factor(2.0);
    let options = Options::new()
        .name("a square with every option")
        .retries(retries)
        .timeout(Duration::from_secs(60))
        .queue_timeout(Duration::from_secs(60))
        .memory(64 << 20)
        .cache(Cache::new().expires(Duration::from_secs(60)).key("flows").refresh())
        .tags(["a-tag"]);
    let run = square::with(options).submit(number);
    Ok(run.result(None)?)
}

#[cfg(test)]
mod tests {
    use sandmill_guest::testing::{Stub, Tasks, with_tasks};

    use super::*;

    #[test]
    fn maps_are_reduced() {
        assert_eq!(sum_of_squares(100_000).unwrap(), 333_328_333_350_000);
        assert_eq!(sum_in_task(1000).unwrap(), 332_833_500);
        assert_eq!(half_then_rest((0..10).collect()).unwrap(), 285);
        assert_eq!(half_then_rest(Vec::new()).unwrap(), 0);
    }

    #[test]
    fn runs_take_results_of_others() {
        assert_eq!(chain(5).unwrap(), 25);
        assert_eq!(pipeline(vec![1, 2, 3]).unwrap(), [2, 3, 4]);
        assert_eq!(mapped_result("to be or not".to_owned()).unwrap(), [2, 2, 2, 3]);
        assert_eq!(every_option(3).unwrap(), 9);
    }

    #[test]
    fn flows_call_flows() {
        assert_eq!(nested(3).unwrap(), 5 + 14);
        assert_eq!(twice_removed(3).unwrap(), 19);
        let other = Tasks::new().stub("other", "double", |arguments| {
            arguments.get::<u64>("of").map_or_else(Stub::failure, |of| Stub::value(&(2 * of)))
        });
        let called = with_tasks(other, || {
            nested_by_name("other".into(), "double".into(), "of".into(), vec![1, 2])
        });
        assert_eq!(called.unwrap(), [2, 2, 4]);
    }
}
