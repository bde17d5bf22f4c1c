//! A guest that does whatever a task should not. The host ends each run as it says it does, and
//! nothing else suffers.
#![cfg(target_family = "wasm")]

mod reach;

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;
use std::{io, process, thread};

use reach::{
    all_of_the_randomness, devour_handles, follow_link, make_link, open_files, poke, poll_a_lot,
    resolve, send_datagram, sleep_forever,
};
use sandmill_guest::{Bytes, context, log, task};

sandmill_guest::export!(
    spin,
    spin_in_host_calls,
    fill_for_ever,
    oversleep,
    hoard,
    allocate,
    recurse,
    recurse_with_data,
    panic,
    abort,
    exit,
    trap,
    stray,
    giant,
    giant_list,
    flood_log,
    flood_output,
    long_line,
    escapes,
    progress_flood,
    burn,
    sleep_forever,
    devour_handles,
    open_files,
    poll_a_lot,
    all_of_the_randomness,
    poke,
    make_link,
    follow_link,
    resolve,
    send_datagram
);

/// Never ends.
#[task]
fn spin() {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Never ends, and calls the host all the time.
#[task]
fn spin_in_host_calls() {
    loop {
        black_box(context::attempt());
    }
}

/// Never ends, in operations that are one instruction each.
#[task]
fn fill_for_ever() {
    let mut bytes = vec![0_u8; 128 << 20];
    loop {
        black_box(&mut bytes).fill(1);
        let (left, right) = bytes.split_at_mut(64 << 20);
        left.copy_from_slice(right);
    }
}

/// Sleeps for longer than it may run.
#[task]
fn oversleep(seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
}

/// Takes memory until there is none.
#[task]
fn hoard() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Takes memory at once.
#[task]
fn allocate(bytes: usize) -> usize {
    black_box(vec![1_u8; bytes]).len()
}

/// Calls itself for ever.
#[task]
fn recurse() -> u64 {
    #[expect(unconditional_recursion, reason = "that is what it is for")]
    #[inline(never)]
    fn deeper(depth: u64) -> u64 {
        deeper(depth.wrapping_mul(31) + 1).rotate_left(3) ^ depth
    }
    deeper(black_box(1))
}

/// Calls itself for ever, and has data on its stack each time.
#[task]
fn recurse_with_data() -> u64 {
    #[expect(unconditional_recursion, reason = "that is what it is for")]
    fn deeper(depth: u64) -> u64 {
        let here = black_box([depth; 16]);
        deeper(depth + 1) + black_box(here)[3]
    }
    deeper(0)
}

/// Panics.
#[task]
fn panic(message: String) {
    panic!("{message}");
}

/// Aborts, without a word.
#[task]
fn abort() {
    process::abort();
}

/// Ends the process, were there one.
#[task]
fn exit(code: i32) {
    process::exit(code);
}

/// Runs into `unreachable`.
#[task]
fn trap() {
    core::arch::wasm32::unreachable();
}

/// Reads far outside of its memory.
#[task]
fn stray() -> u8 {
    let address = black_box(0xffff_fff0_usize);
    // SAFETY: it is not: there is no memory, which is what it is for.
    unsafe { core::ptr::with_exposed_provenance::<u8>(address).read_volatile() }
}

/// Returns more than anybody wants.
#[task]
fn giant(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}

/// Returns more values than anybody wants.
#[task]
fn giant_list(items: usize) -> Vec<u8> {
    vec![1; items]
}

/// Logs without end.
#[task]
fn flood_log(lines: u64, length: usize) -> u64 {
    let line = "x".repeat(length);
    for _ in 0..lines {
        log::write(log::Level::Info, &line);
    }
    lines
}

/// Prints without end, by small pieces.
#[task]
fn flood_output(writes: u64) -> u64 {
    let mut output = io::stdout().lock();
    for _ in 0..writes {
        // What is left out is no error.
        let _ = output.write_all(b"x").and_then(|()| output.flush());
    }
    writes
}

/// Prints one line that is too long.
#[task]
fn long_line(bytes: usize) -> usize {
    let _ = io::stderr().write_all(&vec![b'y'; bytes]);
    bytes
}

/// Prints what a terminal would obey.
#[task]
fn escapes() {
    println!("\x1b[2J\x1b]0;owned\x07 \u{202e}reversed\r\0");
    let _ = io::stdout().write_all(b"\xff\xfe not UTF-8\n");
}

/// Reports progress without end.
#[task]
fn progress_flood(reports: u64) -> u64 {
    let words = "w".repeat(10_000);
    for done in 0..reports {
        context::report_progress(done, None, &words);
    }
    reports
}

/// Counts to a number.
#[task]
fn burn(rounds: u64) -> u64 {
    let mut number = 0_u64;
    for round in 0..rounds {
        number = black_box(number.wrapping_mul(31).wrapping_add(round));
    }
    number
}
