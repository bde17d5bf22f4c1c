//! Flows that do otherwise when they were changed: built with the feature `changed`, they no longer
//! match a journal that was written without it. [`by_variant`] does so by its argument, for tests
//! that have one component only.

use std::time::Duration;

use sandmill_guest::flow::{Options, ReturnWhen, sleep, wait};
use sandmill_guest::{Failure, flow};

use crate::tasks::{add, half, square};

/// Whether this is the changed component.
const IS_CHANGED: bool = cfg!(feature = "changed");

/// How long the flows sleep between their calls, so that a test can stop them there.
fn nap(millis: u64) {
    sleep(Duration::from_millis(millis));
}

/// The same two calls, in the order that `variant` says: `ab`, or anything else for the other.
#[flow]
pub(crate) fn by_variant(variant: String, millis: u64) -> Result<u64, Failure> {
    two_calls(variant != "ab", millis)
}

/// The same two calls, in another order when it was changed.
#[flow]
pub(crate) fn changed_order(millis: u64) -> Result<u64, Failure> {
    two_calls(IS_CHANGED, millis)
}

fn two_calls(is_other: bool, millis: u64) -> Result<u64, Failure> {
    let first = || square::submit(6_u64);
    let second = || add::submit(1_u64, 2_u64);
    let (first, second) = if is_other {
        let second = second();
        (first(), second)
    } else {
        (first(), second())
    };
    let sum = first.result(None)? + second.result(None)?;
    nap(millis);
    Ok(sum + square::submit(1_u64).result(None)?)
}

/// A call with another argument when it was changed.
#[flow]
pub(crate) fn changed_argument(millis: u64) -> Result<u64, Failure> {
    let first = square::submit(if IS_CHANGED { 7 } else { 6 }).result(None)?;
    nap(millis);
    Ok(first + square::submit(1).result(None)?)
}

/// A call of another task when it was changed.
#[flow]
pub(crate) fn changed_task(millis: u64) -> Result<u64, Failure> {
    let run = if IS_CHANGED { half::submit(6) } else { square::submit(6) };
    let first = run.result(None)?;
    nap(millis);
    Ok(first + square::submit(1).result(None)?)
}

/// A call with other options when it was changed: what it comes to stays the same.
#[flow]
pub(crate) fn changed_options(millis: u64) -> Result<u64, Failure> {
    let options = Options::new().retries(if IS_CHANGED { 3 } else { 1 });
    let first = square::with(options).submit(6).result(None)?;
    nap(millis);
    Ok(first + square::submit(1).result(None)?)
}

/// A call less, before it sleeps, when it was changed.
#[flow]
pub(crate) fn fewer_calls(millis: u64) -> Result<u64, Failure> {
    let mut sum = square::submit(6).result(None)?;
    if !IS_CHANGED {
        sum += square::submit(2).result(None)?;
    }
    nap(millis);
    Ok(sum + square::submit(1).result(None)?)
}

/// A call more, before it sleeps, when it was changed.
#[flow]
pub(crate) fn more_calls(millis: u64) -> Result<u64, Failure> {
    let mut sum = square::submit(6).result(None)?;
    if IS_CHANGED {
        sum += square::submit(2).result(None)?;
    }
    nap(millis);
    Ok(sum + square::submit(1).result(None)?)
}

/// Waits in another way when it was changed.
#[flow]
pub(crate) fn other_wait(millis: u64) -> Result<u64, Failure> {
    let runs = [square::submit(6), square::submit(2)];
    let until = if IS_CHANGED { ReturnWhen::First } else { ReturnWhen::All };
    wait(&runs, None, until);
    nap(millis);
    Ok(runs[0].result(None)? + runs[1].result(None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_do_as_they_say() {
        assert_eq!(by_variant("ab".to_owned(), 0).unwrap(), 40);
        assert_eq!(by_variant("ba".to_owned(), 0).unwrap(), 40);
        assert_eq!(changed_order(0).unwrap(), 40);
        let plain_or_changed = |plain, changed| if IS_CHANGED { changed } else { plain };
        assert_eq!(changed_argument(0).unwrap(), plain_or_changed(37, 50));
        assert_eq!(changed_task(0).unwrap(), plain_or_changed(37, 4));
        assert_eq!(changed_options(0).unwrap(), 37);
        assert_eq!(fewer_calls(0).unwrap(), plain_or_changed(41, 37));
        assert_eq!(more_calls(0).unwrap(), plain_or_changed(37, 41));
        assert_eq!(other_wait(0).unwrap(), 40);
    }
}
