//! What a guest in Rust can do against its host. Each act ends as it is told, costs its own run,
//! and the same executor makes a thousand good runs right after.

mod reach;

use std::time::{Duration, Instant};

use sandmill::core::LogSource;
use sandmill::{CallOptions, EndKind, TrapKind};
use sandmill_test_conformance::{Bench, Held, LONG};

use crate::table::{Case, Expect, Row, checks, defaults, hostile_row, same_story, still_good};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = checks![
        timeouts_end_in_time,
        a_thousand_timeouts_leave_nothing_behind,
        log_floods_are_cut_and_the_cut_is_marked,
        output_floods_are_cut_and_the_cut_is_marked,
        long_lines_are_cut,
        control_characters_are_kept_as_data,
        progress_floods_are_merged,
        large_arguments_are_refused,
        a_backtrace_names_the_guests_functions,
    ];
    cases.extend(rows());
    cases.extend(reach::cases());
    cases
}

/// Time enough to start, and little to wait for.
fn short(options: &mut CallOptions) {
    options.limits.timeout = Duration::from_millis(100);
}

fn little_memory(options: &mut CallOptions) {
    options.limits.memory = 32 << 20;
}

fn little_output(options: &mut CallOptions) {
    options.limits.output = 1 << 20;
}

fn little_fuel(options: &mut CallOptions) {
    options.limits.fuel = Some(10_000_000);
}

fn few_handles(options: &mut CallOptions) {
    options.limits.handles = 50;
}

fn rows() -> Vec<Case> {
    use Expect::{End, Failure, Value};
    let act = |task, arguments, options, expect| Row {
        guest: "hostile",
        task,
        arguments,
        options,
        expect,
    };
    let trapped = EndKind::Trapped;
    let late = || End(EndKind::TimedOut, "not done after 100ms");
    vec![
        hostile_row("loop", act("spin", "{}", short, late())),
        hostile_row("loop-of-host-calls", act("spin_in_host_calls", "{}", short, late())),
        hostile_row("loop-of-bulk-operations", act("fill_for_ever", "{}", short, late())),
        hostile_row("oversleep", act("oversleep", r#"{"seconds":3600}"#, short, late())),
        hostile_row("sleep-forever", act("sleep_forever", "{}", short, late())),
        hostile_row("hoard", act("hoard", "{}", defaults, End(EndKind::OutOfMemory, "256MiB"))),
        hostile_row(
            "allocate",
            act(
                "allocate",
                r#"{"bytes":67108864}"#,
                little_memory,
                End(EndKind::OutOfMemory, "32MiB"),
            ),
        ),
        hostile_row(
            "recursion",
            act("recurse", "{}", defaults, End(trapped(TrapKind::StackOverflow), "")),
        ),
        // Rust keeps what has an address on a stack of its own, which ends at address 0.
        hostile_row(
            "recursion-with-data",
            act("recurse_with_data", "{}", defaults, End(trapped(TrapKind::OutOfBounds), "")),
        ),
        hostile_row(
            "panic",
            act(
                "panic",
                r#"{"message":"a line\nand another \u001b[31m"}"#,
                defaults,
                End(trapped(TrapKind::Panic), "a line\nand another"),
            ),
        ),
        hostile_row("abort", act("abort", "{}", defaults, End(trapped(TrapKind::Unreachable), ""))),
        hostile_row(
            "exit",
            act("exit", r#"{"code":3}"#, defaults, End(trapped(TrapKind::Exit(1)), "exited")),
        ),
        hostile_row(
            "exit-well",
            act("exit", r#"{"code":0}"#, defaults, End(trapped(TrapKind::Exit(0)), "exited")),
        ),
        hostile_row("trap", act("trap", "{}", defaults, End(trapped(TrapKind::Unreachable), ""))),
        hostile_row("stray", act("stray", "{}", defaults, End(trapped(TrapKind::OutOfBounds), ""))),
        hostile_row(
            "giant-output",
            act(
                "giant",
                r#"{"bytes":100000000}"#,
                defaults,
                End(EndKind::OutputTooLarge, "larger than 16MiB"),
            ),
        ),
        hostile_row(
            "large-output",
            act(
                "giant",
                r#"{"bytes":1048576}"#,
                little_output,
                End(EndKind::OutputTooLarge, "larger than 1MiB"),
            ),
        ),
        hostile_row(
            "giant-list",
            act("giant_list", r#"{"items":8000000}"#, defaults, End(EndKind::InvalidResult, "")),
        ),
        hostile_row(
            "fuel",
            act(
                "burn",
                r#"{"rounds":1000000000}"#,
                little_fuel,
                End(EndKind::OutOfFuel, "10000000"),
            ),
        ),
        hostile_row("fuel-of-a-loop", act("spin", "{}", little_fuel, End(EndKind::OutOfFuel, ""))),
        hostile_row(
            "handles",
            act(
                "devour_handles",
                r#"{"count":100000}"#,
                defaults,
                End(trapped(TrapKind::Handles), "1000"),
            ),
        ),
        hostile_row(
            "few-handles",
            act(
                "devour_handles",
                r#"{"count":60}"#,
                few_handles,
                End(trapped(TrapKind::Handles), "50"),
            ),
        ),
        hostile_row(
            "enough-handles",
            act("devour_handles", r#"{"count":450}"#, defaults, Value("450")),
        ),
        hostile_row(
            "long-poll-list",
            act(
                "poll_a_lot",
                r#"{"count":1000000}"#,
                defaults,
                End(trapped(TrapKind::Contract), ""),
            ),
        ),
        hostile_row(
            "all-of-the-randomness",
            act(
                "all_of_the_randomness",
                r#"{"bytes":1099511627776}"#,
                defaults,
                End(trapped(TrapKind::Contract), ""),
            ),
        ),
        hostile_row(
            "one-gigantic-log-line",
            act("flood_log", r#"{"lines":1,"length":100000000}"#, defaults, Value("1")),
        ),
        hostile_row(
            "deep-arguments",
            act("spin", DEEP, short, Failure("invalid-arguments", "no parameter")),
        ),
    ]
}

/// Nested as deep as an argument may be.
const DEEP: &str = r#"{"deep":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#;

fn timeouts_end_in_time(bench: &Bench) {
    for task in ["spin", "spin_in_host_calls", "fill_for_ever", "sleep_forever"] {
        let start = Instant::now();
        let ran = bench.run_with("hostile", task, "{}", |options| {
            options.limits.timeout = Duration::from_secs(1);
        });
        assert_eq!(ran.end().0, EndKind::TimedOut);
        assert!(ran.usage.wall_micros >= 1_000_000, "{task}: not before its time");
        assert!(start.elapsed() < LONG / 4, "{task} took {:?}", start.elapsed());
    }
}

fn a_thousand_timeouts_leave_nothing_behind(bench: &Bench) {
    let late = || {
        let ran = bench.run_with("hostile", "sleep_forever", "{}", |options| {
            options.limits.timeout = Duration::from_millis(2);
        });
        assert_eq!(ran.end().0, EndKind::TimedOut);
    };
    late();
    let before = Held::now();
    (0..1_000).for_each(|_| late());
    let after = Held::now();
    // Other cases come and go meanwhile, with hosts and workers of their own; what each of a
    // thousand runs left would show.
    assert!(after.threads < before.threads + 500, "before: {before:?}, after: {after:?}");
    assert!(after.files < before.files + 500, "before: {before:?}, after: {after:?}");
    still_good(bench);
}

fn log_floods_are_cut_and_the_cut_is_marked(bench: &Bench) {
    let ran = bench.run("hostile", "flood_log", r#"{"lines":100000,"length":100}"#);
    assert_eq!(ran.value::<u64>(), 100_000, "what is left out is no error to the guest");
    let kept: usize = ran.lines.iter().map(|line| line.message.len()).sum();
    assert!(kept <= (1 << 20) + 1_000 && kept > 1 << 19, "{kept} bytes");
    let last = ran.lines.last().expect("there are lines");
    assert_eq!(last.source, LogSource::Host);
    assert!(last.message.contains("left out"), "{}", last.message);
    same_story("log flood", &ran);
    still_good(bench);
}

fn output_floods_are_cut_and_the_cut_is_marked(bench: &Bench) {
    let ran = bench.run_with("hostile", "flood_output", r#"{"writes":200000}"#, |options| {
        options.limits.logs = 50_000;
    });
    assert_eq!(ran.value::<u64>(), 200_000);
    let kept: usize = ran.lines.iter().map(|line| line.message.len()).sum();
    assert!(kept < 51_000, "{kept} bytes");
    assert_eq!(ran.lines.last().expect("there are lines").source, LogSource::Host);
    same_story("output flood", &ran);

    // A million empty lines have an end, too.
    let ran = bench.run("hostile", "flood_log", r#"{"lines":3000000,"length":0}"#);
    assert!(ran.lines.len() <= (1 << 20) + 1, "{} lines", ran.lines.len());
    still_good(bench);
}

fn long_lines_are_cut(bench: &Bench) {
    let ran = bench.run("hostile", "long_line", r#"{"bytes":50000000}"#);
    assert_eq!(ran.value::<u64>(), 50_000_000);
    assert!(ran.lines.iter().all(|line| line.message.len() <= (16 << 10) + 8), "a line is longer");
    let ran = bench.run("hostile", "flood_log", r#"{"lines":1,"length":10000000}"#);
    assert_eq!(ran.value::<u64>(), 1);
    assert!(ran.lines[0].message.len() <= (16 << 10) + 8);
    still_good(bench);
}

fn control_characters_are_kept_as_data(bench: &Bench) {
    let ran = bench.run("hostile", "escapes", "{}");
    // The log is a record: whoever shows it escapes it. It is always text.
    assert_eq!(ran.lines[0].message, "\u{1b}[2J\u{1b}]0;owned\u{7} \u{202e}reversed\r\0");
    assert_eq!(ran.lines[1].message, "\u{fffd}\u{fffd} not UTF-8");
}

fn progress_floods_are_merged(bench: &Bench) {
    let ran = bench.run("hostile", "progress_flood", r#"{"reports":200000}"#);
    assert_eq!(ran.value::<u64>(), 200_000);
    let seconds = usize::try_from(ran.usage.wall_micros / 1_000_000).unwrap();
    assert!(ran.progress.len() <= 22 * (seconds + 1), "{} reports", ran.progress.len());
    assert_eq!(ran.progress.last().expect("there is one").done, 199_999);
    assert!(ran.progress.iter().all(|report| report.message.len() <= 1 << 10));
    still_good(bench);
}

fn large_arguments_are_refused(bench: &Bench) {
    let arguments = format!("{{\"path\":\"{}\"}}", "x".repeat(2_000));
    let ran = bench.run_with("hostile", "poke", &arguments, |options| options.limits.input = 1_000);
    assert_eq!(ran.end().0, EndKind::Refused);
    assert!(ran.end().1.contains("the limit is 1000B"), "{}", ran.end().1);
    let ran = bench.run_with("hostile", "spin", "{}", |options| options.limits.memory = u64::MAX);
    assert_eq!(ran.end().0, EndKind::Refused);
    assert!(ran.end().1.contains("memory"), "{}", ran.end().1);
}

fn a_backtrace_names_the_guests_functions(bench: &Bench) {
    let ran = bench.run("hostile", "recurse", "{}");
    let sandmill::Outcome::Ended(end) = &ran.outcome else { panic!("{:?}", ran.outcome) };
    assert!(!end.backtrace.is_empty() && end.backtrace.len() <= 64);
    assert!(end.backtrace[0].contains("deeper"), "{:?}", end.backtrace);
    assert!(!end.backtrace[0].starts_with("_R"), "names are demangled: {:?}", end.backtrace);
}
