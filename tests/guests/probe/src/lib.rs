//! A well-behaved guest that looks at everything it can reach and says what it saw: values,
//! failures, logs, its context, clocks, randomness, environment and files.
#![cfg(target_family = "wasm")]

mod surroundings;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use sandmill_guest::{Bytes, Failure, context, log, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use surroundings::{
    connect, count_folder, environment, list, look_around, make_folder, random, read, stamp, sum,
    write,
};

sandmill_guest::export!(
    add,
    half,
    shout,
    reverse,
    pack,
    nothing,
    refuse,
    flaky,
    pattern,
    panic,
    speak,
    report,
    about_me,
    patience,
    spin_until_cancelled,
    sleep,
    paint,
    scan,
    grow,
    look_around,
    random,
    environment,
    read,
    write,
    list,
    count_folder,
    make_folder,
    stamp,
    sum,
    connect
);

/// Adds two numbers.
#[task]
fn add(left: i64, #[default(1)] right: i64) -> Result<i64, Failure> {
    left.checked_add(right).ok_or_else(|| Failure::new("overflow", "the sum is too large"))
}

/// Halves an even number.
#[task]
fn half(number: u64) -> Result<u64, Failure> {
    match number % 2 {
        0 => Ok(number / 2),
        _ => Err(Failure::new("odd", format!("{number} is odd")).with_details(&number)),
    }
}

/// Text in capitals.
#[task]
fn shout(text: String) -> String {
    text.to_uppercase()
}

/// Bytes the other way round.
#[task]
fn reverse(bytes: Bytes) -> Bytes {
    bytes.iter().rev().copied().collect()
}

/// Values of many types.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Parcel {
    label: String,
    weight: f64,
    #[serde(default)]
    contents: Vec<Parcel>,
    marks: BTreeMap<String, Option<i8>>,
}

/// Puts a parcel into a parcel.
#[task]
fn pack(parcel: Parcel) -> Parcel {
    Parcel {
        label: format!("box of {}", parcel.label),
        weight: parcel.weight + 0.5,
        contents: vec![parcel],
        marks: BTreeMap::from([("fragile".to_owned(), None), ("layers".to_owned(), Some(-1))]),
    }
}

/// Returns nothing.
#[task]
fn nothing() {}

/// Fails as it is told.
#[task]
fn refuse(kind: String, message: String, #[default(false)] retriable: bool) -> Result<(), Failure> {
    let failure = Failure::new(kind, message).with_details(&[1, 2, 3]);
    Err(if retriable { failure.retriable() } else { failure })
}

/// Fails in its first so many attempts, and then returns the number of the attempt that went well.
#[task]
fn flaky(failures: u32) -> Result<u32, Failure> {
    let attempt = context::attempt();
    log::info!("attempt {attempt}");
    if attempt <= failures {
        return Err(Failure::new("busy", format!("no luck in attempt {attempt}")));
    }
    Ok(attempt)
}

/// So many numbers: 1 for each `every`-th, beginning with the first, and 0 for the others.
#[task]
fn pattern(count: u32, every: u32) -> Vec<u32> {
    (0..count).map(|number| u32::from(number.is_multiple_of(every.max(1)))).collect()
}

/// Panics with a message.
#[task]
fn panic(message: String) {
    panic!("{message}");
}

/// Logs on every level and prints.
#[task]
fn speak(word: String) {
    log::trace!("{word} 1");
    log::debug!("{word} 2");
    println!("{word} on standard output");
    log::info!("{word} 3");
    eprintln!("{word} on standard error");
    log::warn!("{word} 4");
    log::error!("{word} 5");
    print!("{word} without a line break");
}

/// Reports progress.
#[task]
fn report(steps: u64) {
    for step in 1..=steps {
        context::report_progress(step, Some(steps), "stepping");
    }
}

/// What the context says.
#[derive(Serialize, JsonSchema)]
struct AboutMe {
    run_id: String,
    attempt: u32,
    map_index: Option<u64>,
    deadline_nanos: Option<u64>,
    is_cancelled: bool,
}

/// Asks the context everything.
#[task]
fn about_me() -> AboutMe {
    AboutMe {
        run_id: context::run_id(),
        attempt: context::attempt(),
        map_index: context::map_index(),
        deadline_nanos: context::deadline()
            .map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)),
        is_cancelled: context::is_cancelled(),
    }
}

/// Sleeps until it is cancelled, and then returns how often it looked.
#[task]
fn patience() -> u64 {
    let mut looks = 1;
    while !context::is_cancelled() {
        thread::sleep(Duration::from_millis(1));
        looks += 1;
    }
    looks
}

/// Looks without a pause until it is cancelled.
#[task]
fn spin_until_cancelled() -> bool {
    while !context::is_cancelled() {}
    true
}

/// Sleeps, and returns how many nanoseconds its clock says it took.
#[task]
fn sleep(millis: u64) -> u64 {
    let start = Instant::now();
    thread::sleep(Duration::from_millis(millis));
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

const PAINT: u64 = 0x5a4d_1145_c0de_babe;

/// Fills new memory with a pattern; how many words of it.
#[task]
fn paint(pages: usize) -> usize {
    let fresh = new_pages(pages);
    fresh.fill(PAINT);
    std::hint::black_box(&*fresh);
    fresh.len()
}

/// Counts the words that are not zero in new memory.
#[task]
fn scan(pages: usize) -> usize {
    new_pages(pages).iter().filter(|&&word| word != 0).count()
}

fn new_pages(pages: usize) -> &'static mut [u64] {
    const WORDS: usize = (64 << 10) / 8;
    let before = core::arch::wasm32::memory_grow(0, pages);
    assert_ne!(before, usize::MAX, "there are no {pages} pages");
    let start = core::ptr::with_exposed_provenance_mut::<u64>(before << 16);
    // SAFETY: these pages have just come to be, so nothing else refers to them, and any bytes
    // make a number.
    unsafe { core::slice::from_raw_parts_mut(start, pages * WORDS) }
}

/// Takes memory and gives back what it could get, in mebibytes, without failing.
#[task]
fn grow(mebibytes: usize) -> usize {
    (0..mebibytes)
        .take_while(|_| {
            let before = core::arch::wasm32::memory_grow(0, 16);
            before != usize::MAX
        })
        .count()
}
