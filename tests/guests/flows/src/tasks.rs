//! The tasks that the flows call.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use sandmill_guest::{Failure, context, task};

/// Adds two numbers.
#[task]
pub(crate) fn add(left: u64, #[default(1)] right: u64) -> Result<u64, Failure> {
    left.checked_add(right).ok_or_else(|| Failure::new("overflow", "the sum is too large"))
}

/// Multiplies a number with itself.
#[task]
pub(crate) fn square(number: u64) -> Result<u64, Failure> {
    number.checked_mul(number).ok_or_else(|| Failure::new("overflow", "the square is too large"))
}

/// Halves an even number; an odd one is a failure of kind `odd`.
#[task]
pub(crate) fn half(number: u64) -> Result<u64, Failure> {
    match number % 2 {
        0 => Ok(number / 2),
        _ => Err(Failure::new("odd", format!("{number} is odd")).with_details(&number)),
    }
}

/// The sum of numbers.
#[task]
pub(crate) fn total(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

/// The words of a text.
#[task]
pub(crate) fn words(text: String) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// How many letters a word has.
#[task]
pub(crate) fn letters(word: String) -> u64 {
    word.chars().count() as u64
}

/// Fails until it was tried more often than `fails` times; then the attempt that it is.
#[task]
pub(crate) fn flaky(fails: u32) -> Result<u32, Failure> {
    match context::attempt() {
        attempt if attempt > fails => Ok(attempt),
        attempt => {
            let message = format!("attempt {attempt} of {fails} that fail");
            Err(Failure::new("flaky", message).retriable())
        }
    }
}

/// Returns `value` after so many milliseconds; none for a failure of kind `slow`.
#[task]
pub(crate) fn slow(millis: u64, value: Option<u64>) -> Result<u64, Failure> {
    thread::sleep(Duration::from_millis(millis));
    value.ok_or_else(|| Failure::new("slow", format!("nothing after {millis} ms")))
}

/// Sleeps until it is cancelled, and then fails.
#[task]
pub(crate) fn patience() -> Result<u64, Failure> {
    while !context::is_cancelled() {
        thread::sleep(Duration::from_millis(1));
    }
    Err(Failure::new("cancelled", "stopped on request"))
}

/// Never ends.
#[task]
pub(crate) fn spin() -> u64 {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

/// Panics.
#[task]
pub(crate) fn trap(message: String) -> u64 {
    panic!("{message}")
}

/// Adds a line to a file `tally` in a directory that was granted: what it is for, which attempt, and
/// the run's id. So a test sees which runs were performed, and how often. Returns `value`.
#[task]
pub(crate) fn tally(directory: String, value: u64) -> Result<u64, Failure> {
    let path = Path::new(&directory).join("tally");
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    // In one write, so that lines of runs at the same time do not mix.
    let line = format!("{value} {} {}\n", context::attempt(), context::run_id());
    file.write_all(line.as_bytes())?;
    Ok(value)
}
