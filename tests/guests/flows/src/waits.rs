//! Flows that wait: for one of several, for a time, for nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sandmill_guest::flow::{Options, ReturnWhen, as_completed, each, sleep, wait};
use sandmill_guest::{Failure, flow};

use crate::tasks::{half, patience, slow, square, tally};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Calls `slow` with each time, and waits until the first has ended: which have then.
#[flow]
pub(crate) fn first_of(times: Vec<u64>) -> Vec<bool> {
    let runs: Vec<_> = times.iter().map(|time| slow::submit(time, Some(*time))).collect();
    wait(&runs, None, ReturnWhen::First);
    runs.iter().map(|run| run.state().is_final()).collect()
}

/// Halves the numbers, and waits until the first failed: the names of those that have ended.
#[flow]
pub(crate) fn first_error(numbers: Vec<u64>) -> Vec<String> {
    let runs: Vec<_> = numbers.iter().map(half::submit).collect();
    let waited = wait(&runs, None, ReturnWhen::FirstError);
    waited.done.iter().map(|run| run.name()).collect()
}

/// Waits so many milliseconds for a run that takes `takes`, and then until it has ended: the kinds
/// of its states.
#[flow]
pub(crate) fn waits_for(takes: u64, timeout: u64) -> Result<Vec<String>, Failure> {
    let run = slow::submit(takes, Some(1));
    let mut seen = vec![run.wait(millis(timeout)).kind.to_string()];
    if let Err(error) = run.result(Duration::ZERO) {
        seen.push(if error.is_timeout() { "timeout" } else { "failed" }.to_owned());
    }
    run.result(None)?;
    seen.push(run.state().kind.to_string());
    Ok(seen)
}

/// Where a run stands before, in and after its time.
#[flow]
pub(crate) fn states_of(takes: u64) -> Vec<String> {
    let run = slow::submit(takes, None);
    let before = run.state().is_final() && run.outcome().is_none();
    let after = run.wait(None);
    vec![before.to_string(), after.kind.to_string(), after.name]
}

/// The places of runs that take so long, in the order in which they end.
#[flow]
pub(crate) fn order_of_ends(times: Vec<u64>) -> Result<Vec<u64>, Failure> {
    let values: Vec<_> = times.iter().copied().map(Some).collect();
    let runs = slow::map(each(&times), each(&values));
    let mut order = Vec::new();
    for run in as_completed(&runs, None) {
        order.push(run?.map_index().unwrap_or(u64::MAX));
    }
    Ok(order)
}

/// Watches runs for so long; what it says of those that have not ended then.
#[flow]
pub(crate) fn timed_out_watch(quick: u64, endless: u64, timeout: u64) -> Vec<String> {
    let mut runs: Vec<_> = (0..quick).map(square::submit).collect();
    runs.extend((0..endless).map(|_| patience::submit()));
    let mut said: Vec<String> = Vec::new();
    for run in as_completed(&runs, millis(timeout)) {
        match run {
            Ok(run) => said.push(run.name()),
            Err(error) => said.push(error.to_string()),
        }
    }
    said
}

/// The results of a map within so many milliseconds, in its order.
#[flow]
pub(crate) fn results_of(times: Vec<u64>, timeout: Option<u64>) -> Result<Vec<u64>, Failure> {
    let runs = slow::map(each(&times), Some(7));
    Ok(runs.results(timeout.map(millis))?)
}

/// Sleeps so often, with a call after each time.
#[flow]
pub(crate) fn naps(times: u64, each_millis: u64) -> Result<u64, Failure> {
    let mut sum = 0;
    for time in 0..times {
        sleep(millis(each_millis));
        sum += square::submit(time).result(None)?;
    }
    Ok(sum)
}

/// Is called back for each run: what it was told, in order. The last ones are told after the flow
/// has gone through its steps, so they are not among what it returns.
#[flow]
pub(crate) fn callbacks(numbers: Vec<u64>) -> Result<Vec<String>, Failure> {
    let told = Rc::new(RefCell::new(Vec::new()));
    let runs: Vec<_> = numbers.iter().map(half::submit).collect();
    for run in &runs {
        let told = Rc::clone(&told);
        run.on_done(move |run| {
            told.borrow_mut().push(format!("{} {}", run.name(), run.state().kind));
        });
    }
    wait(&runs, None, ReturnWhen::All);
    let mut told = told.take();
    // They may end in any order.
    told.sort();
    Ok(told)
}

/// Calls `tally` for each number below `count`, some as a map and some alone, with sleeps and
/// watches between: a flow to kill at any point. The sum of what they return.
#[flow]
pub(crate) fn tallied(
    /// A directory that was granted.
    directory: String,
    count: u64,
    /// Milliseconds to sleep after every tenth.
    #[default(0)]
    nap: u64,
) -> Result<u64, Failure> {
    let runs = tally::map(&directory, each(0..count));
    let mut sum = 0;
    for (place, run) in as_completed(&runs, None).enumerate() {
        sum += run?.result(None)?;
        if place % 10 == 9 {
            sleep(millis(nap));
            let options = Options::new().name(format!("after {place}"));
            let alone = tally::with(options).submit(&directory, count + place as u64 / 10);
            sum += alone.result(None)?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use sandmill_guest::testing::{Stub, Tasks, with_tasks};

    use super::*;

    #[test]
    fn waits_come_to_what_has_ended() {
        assert_eq!(first_of(vec![0, 0]), [true, true]);
        assert_eq!(first_error(vec![2, 3, 4]), ["half", "half", "half"]);
        assert_eq!(waits_for(0, 10).unwrap(), ["completed", "completed"]);
        assert_eq!(states_of(0), ["false", "failed", "Failed"]);
        assert_eq!(order_of_ends(vec![3, 1]).unwrap(), [0, 1]);
        assert_eq!(naps(3, 1).unwrap(), 5);
    }

    #[test]
    fn what_does_not_end_is_left_after_the_time() {
        let endless = Tasks::new().own_stub("patience", |_| Stub::never());
        let said = with_tasks(endless, || timed_out_watch(1, 2, 5));
        assert_eq!(said, ["square", "2 (of 3) futures unfinished"]);
        let never = Tasks::new().own_stub("slow", |_| Stub::never());
        let failure = with_tasks(never, || results_of(vec![1, 2], Some(5))).unwrap_err();
        assert_eq!(failure.kind(), Failure::WAIT_TIMEOUT);
    }

    #[test]
    fn callbacks_are_told() {
        let told = callbacks(vec![2, 3]).unwrap();
        assert_eq!(told, ["half completed", "half failed"]);
    }

    #[test]
    fn a_tally_is_kept() {
        let directory = std::env::temp_dir().join(format!("flows-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let sum = tallied(directory.to_str().unwrap().to_owned(), 20, 0).unwrap();
        assert_eq!(sum, 190 + 20 + 21);
        let tally = std::fs::read_to_string(directory.join("tally")).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(tally.lines().count(), 22);
    }
}
