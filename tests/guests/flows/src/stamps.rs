//! Runs that leave a file behind each time they are performed, and a flow of them that says the
//! same as the flow file of the tests that kill hosts.

use std::fs::File;
use std::io::ErrorKind;

use sandmill_guest::flow::{Options, as_completed, each};
use sandmill_guest::{Failure, flow, task};

use crate::tasks::add;

/// Leaves one more file for `number` in a folder, and returns twice the number.
#[task]
pub(crate) fn stamp(folder: String, number: u64) -> Result<u64, Failure> {
    let mut times = 0;
    loop {
        match File::create_new(format!("{folder}/{number}.{times}")) {
            Ok(_) => return Ok(2 * number),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => times += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Two maps of stamps, the second over what the first gives, and the sum as they end.
#[flow]
pub(crate) fn stamp_twice(folder: String, runs: u64, second: u64) -> Result<u64, Failure> {
    let named = |name: &str| stamp::with(Options::new().name(name));
    let first = named("first").map(&folder, each(0..runs));
    let moved = add::map(each(&first), second);
    let stamped = named("second").map(&folder, each(&moved));
    let mut sum = 0;
    for run in as_completed(&stamped, None) {
        sum += run?.result(None)?;
    }
    Ok(sum)
}
