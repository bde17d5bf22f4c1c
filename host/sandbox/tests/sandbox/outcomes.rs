//! How runs end: values, traps, and every limit, by guests that no toolchain would make.

use std::time::{Duration, Instant};

use crate::support::*;
use sandmill_core::{
    Call, CallOptions, CancelToken, Component, Invoker as _, Limits, LogLevel, LogSource,
};
use sandmill_sandbox::MAX_MEMORIES;
use sandmill_wire::{EndKind, TrapKind, Value};

/// No run here takes this long but one that hangs.
const SOON: Duration = Duration::from_secs(20);

fn kind_of(body: &str) -> EndKind {
    kind_with("", body, Limits::default())
}

fn kind_with(items: &str, body: &str, with: Limits) -> EndKind {
    let ran = run(&sandbox(), &call_with(&guest("", items, body), limits(with)));
    let (kind, message) = end(&ran.report);
    assert!(!message.is_empty() && message.len() < 10_000);
    kind
}

#[test]
fn an_echo_returns_its_arguments() {
    let sandbox = sandbox();
    let component = echo();
    let info = sandbox.prepare(&component).unwrap();
    assert_eq!(info.tasks.len(), 1);
    assert_eq!((&*info.tasks[0].name, &*info.tasks[0].result), ("t", "{}"));
    let ran = run(&sandbox, &call(&component));
    assert_eq!(ran.report.outcome.value().unwrap().as_bytes(), [0x80]);
    assert_eq!((ran.report.usage.input, ran.report.usage.output), (1, 1));
    assert_eq!(ran.report.usage.peak_memory, 2 << 16);
    assert!(!ran.report.usage.read_context && ran.report.usage.fuel.is_none());
}

#[test]
fn a_call_works_inside_of_another_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sandbox = sandbox();
    let component = echo();
    let ran = runtime.block_on(async { run(&sandbox, &call(&component)) });
    assert!(ran.report.outcome.is_success());
    drop(runtime.block_on(async move { sandbox }));
}

#[test]
fn traps_have_kinds() {
    let trapped = EndKind::Trapped;
    assert_eq!(kind_of("unreachable"), trapped(TrapKind::Unreachable));
    assert_eq!(kind_of("(i32.load (i32.const -8))"), trapped(TrapKind::OutOfBounds));
    let division = "(i32.div_s (i32.const 1) (i32.const 0))";
    assert_eq!(kind_of(division), trapped(TrapKind::Arithmetic));
    let table = "(table $f 1 funcref) (type $v (func (result i32)))";
    let null = "(call_indirect $f (type $v) (i32.const 0))";
    assert_eq!(kind_with(table, null, Limits::default()), trapped(TrapKind::BadCall));
    let recursion = "(func $deep (param i32) (result i32) \
                     (i32.add (i32.const 1) (call $deep (local.get 0))))";
    let deep = "(call $deep (i32.const 1))";
    assert_eq!(kind_with(recursion, deep, Limits::default()), trapped(TrapKind::StackOverflow));
    // A result that lies outside of the memory breaks the component model's rules.
    let outside = "(call $value (i32.const -100) (i32.const 50))";
    assert_eq!(kind_of(outside), trapped(TrapKind::Contract));
    assert_eq!(kind_of("(i32.const 3)"), trapped(TrapKind::Contract));
}

#[test]
fn a_trap_tells_where_it_was() {
    let component = guest("", "(func $inner (result i32) unreachable)", "(call $inner)");
    let ran = run(&sandbox(), &call(&component));
    let sandmill_wire::Outcome::Ended(end) = ran.report.outcome else { panic!("it trapped") };
    assert_eq!(end.backtrace[0], "inner");
    assert_eq!(end.backtrace.len(), 2);
}

#[test]
fn an_exit_is_told_by_its_code() {
    let imports = "(import \"wasi:cli/exit@0.2.0\" \"exit\" (func $exit (param i32)))";
    for code in [0, 1] {
        let body = format!("(call $exit (i32.const {code})) (i32.const 0)");
        let ran = run(&sandbox(), &call(&guest(imports, "", &body)));
        assert_eq!(end(&ran.report).0, EndKind::Trapped(TrapKind::Exit(code)));
    }
}

#[test]
fn endless_loops_end_at_the_deadline_wherever_they_are() {
    let sandbox = sandbox();
    let with = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
    let in_run = guest("", "", "(loop $l (br $l)) (i32.const 0)");
    let in_post_return = guest(
        "",
        "(func (export \"cabi_post_sandmill:task/runner@0.1.0#run\") (param i32) (loop $l (br $l)))",
        "(call $value (i32.const 18) (i32.const 1))",
    );
    let in_memory = guest(
        "",
        "",
        "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 100000)) (br $l)) \
         (i32.const 0)",
    );
    for component in [in_run, in_post_return, in_memory] {
        sandbox.prepare(&component).unwrap();
        let start = Instant::now();
        let ran = run(&sandbox, &call_with(&component, limits(with.clone())));
        assert_eq!(end(&ran.report).0, EndKind::TimedOut);
        assert!(start.elapsed() >= with.timeout && start.elapsed() < SOON);
        assert!(ran.report.usage.wall_micros >= 200_000);
    }
}

#[test]
fn a_loop_in_the_start_function_refuses_the_component() {
    // It never answers what its tasks are, so there is nothing to run.
    let component = guest("", "(func $s (loop $l (br $l))) (start $s)", "(i32.const 0)");
    let start = Instant::now();
    let refused = sandbox().prepare(&component).unwrap_err();
    assert_eq!(refused.kind, EndKind::Refused);
    assert!(refused.message.contains("cannot describe its tasks: timed-out"), "{refused}");
    assert!(start.elapsed() < SOON + sandmill_sandbox::DESCRIBE_TIMEOUT);
}

#[test]
fn a_sleeper_ends_at_the_deadline_and_when_cancelled() {
    let sandbox = sandbox();
    let component = guest(
        "(import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" \
            (func $timer (param i64) (result i32)))
         (import \"wasi:io/poll@0.2.0\" \"[method]pollable.block\" (func $block (param i32)))",
        "",
        "(call $block (call $timer (i64.const 1000000000000))) (i32.const 0)",
    );
    let with = Limits { timeout: Duration::from_millis(100), ..Limits::default() };
    let start = Instant::now();
    let ran = run(&sandbox, &call_with(&component, limits(with)));
    assert_eq!(end(&ran.report).0, EndKind::TimedOut);

    let cancel = CancelToken::new();
    let canceller = cancel.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        canceller.cancel();
    });
    let ran = run_until(&sandbox, &call(&component), &cancel);
    assert_eq!(end(&ran.report).0, EndKind::Cancelled);
    assert!(start.elapsed() < SOON);
    thread.join().unwrap();
    assert_eq!(end(&run_until(&sandbox, &call(&component), &cancel).report).0, EndKind::Cancelled);
}

#[test]
fn a_cancelled_task_has_its_grace() {
    let sandbox = sandbox();
    let imports =
        "(import \"sandmill:task/context@0.1.0\" \"is-cancelled\" (func $c (result i32)))";
    let polite = guest(
        imports,
        "",
        "(loop $l (br_if $l (i32.eqz (call $c)))) (call $value (i32.const 18) (i32.const 1))",
    );
    let rude = guest("", "", "(loop $l (br $l)) (i32.const 0)");
    for (component, grace, returns) in [
        (&polite, SOON, true),
        (&rude, Duration::from_millis(100), false),
        (&rude, Duration::ZERO, false),
    ] {
        let cancel = CancelToken::new();
        let canceller = cancel.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            canceller.cancel();
        });
        let with = Limits { cancel_grace: grace, ..Limits::default() };
        let ran = run_until(&sandbox, &call_with(component, limits(with)), &cancel);
        thread.join().unwrap();
        if returns {
            assert!(ran.report.outcome.is_success() && ran.report.usage.read_context);
        } else {
            assert_eq!(end(&ran.report).0, EndKind::Cancelled);
            assert!(ran.report.usage.wall_micros >= grace.as_micros() as u64);
        }
    }
}

#[test]
fn memory_has_one_limit_over_everything() {
    let small = Limits { memory: 10 << 20, ..Limits::default() };
    let oom = EndKind::OutOfMemory;
    // One memory that grows, bit by bit and at once.
    let grow = "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (i32.const 0)";
    assert_eq!(kind_with("", grow, small.clone()), oom);
    let at_once = "(drop (memory.grow (i32.const 60000))) (i32.const 0)";
    assert_eq!(kind_with("", at_once, small.clone()), oom);
    let beyond = "(drop (memory.grow (i32.const -1))) (i32.const 0)";
    assert_eq!(kind_with("", beyond, small.clone()), oom);
    // Fifty memories of one mebibyte.
    let fifty = "(memory 16)".repeat(50);
    assert_eq!(kind_with(&fifty, "(i32.const 0)", small.clone()), oom);
    // One that begins too large.
    assert_eq!(kind_with("(memory 161)", "(i32.const 0)", small.clone()), oom);
    // Tables take memory too.
    let tables = "(table 80000 funcref)".repeat(10);
    let elements = Limits { table_elements: 1_000_000, memory: 1 << 20, ..Limits::default() };
    assert_eq!(kind_with(&tables, "(i32.const 0)", elements), oom);
    // And the limit is no less than it says: 157 pages and these two are 9.9 MiB.
    let fits = guest("", "(memory 157)", "(call $value (i32.const 18) (i32.const 1))");
    let ran = run(&sandbox(), &call_with(&fits, limits(small)));
    assert!(ran.report.outcome.is_success(), "{:?}", ran.report);
    assert_eq!(ran.report.usage.peak_memory, 159 << 16);
}

#[test]
fn a_memory_limit_is_told_with_what_was_asked() {
    let body = "(drop (memory.grow (i32.const 1600))) (i32.const 0)";
    let with = Limits { memory: 64 << 20, ..Limits::default() };
    let ran = run(&sandbox(), &call_with(&guest("", "", body), limits(with)));
    let (_, message) = end(&ran.report);
    assert!(message.contains("64MiB") && message.contains("100"), "{message}");
}

#[test]
fn growth_past_a_guests_own_maximum_is_an_ordinary_failure() {
    let memory = "(memory $memory (export \"memory\") 2 3)";
    let body = "(call $number (i64.extend_i32_s (memory.grow (i32.const 9))))";
    let ran = run(&sandbox(), &call(&guest_with_memory(memory, "", "", body)));
    assert_eq!(number(&ran.report), u64::MAX);
}

#[test]
fn tables_have_a_limit() {
    let grow = "(loop $l (drop (table.grow $f (ref.null func) (i32.const 1000))) (br $l)) \
                (i32.const 0)";
    let oom = EndKind::OutOfMemory;
    assert_eq!(kind_with("(table $f 1 funcref)", grow, Limits::default()), oom);
    let few = Limits { table_elements: 100, ..Limits::default() };
    assert_eq!(kind_with("(table $f 101 funcref)", "(i32.const 0)", few.clone()), oom);
    assert_eq!(kind_with("(table $f 1 funcref)", grow, few), oom);
    // More than the pool has room for.
    let many = Limits { table_elements: 300_000, ..Limits::default() };
    assert_eq!(kind_with("(table $f 1 funcref)", grow, many.clone()), oom);
    let body =
        "(call $number (i64.extend_i32_u (table.grow $f (ref.null func) (i32.const 250000))))";
    let component = guest("", "(table $f 7 funcref)", body);
    assert_eq!(number(&run(&sandbox(), &call_with(&component, limits(many))).report), 7);
}

#[test]
fn more_memories_than_the_pool_has_room_for_still_run() {
    let memories = "(memory 1)".repeat(MAX_MEMORIES as usize - 1);
    let component = guest("", &memories, "(call $value (i32.const 18) (i32.const 1))");
    assert!(run(&sandbox(), &call(&component)).report.outcome.is_success());
    let memories = "(memory 1)".repeat(MAX_MEMORIES as usize);
    let component = guest("", &memories, "(i32.const 0)");
    assert_eq!(sandbox().prepare(&component).unwrap_err().kind, EndKind::Refused);
}

#[test]
fn results_are_bounded_and_checked() {
    let small = Limits { output: 100, ..Limits::default() };
    let too_large = "(call $value (i32.const 0) (i32.const 101))";
    assert_eq!(kind_with("", too_large, small.clone()), EndKind::OutputTooLarge);
    // Twenty mebibytes of one, beyond what is even copied.
    let huge = "(drop (memory.grow (i32.const 320))) \
                (call $value (i32.const 0) (i32.const 20971520))";
    assert_eq!(kind_with("", huge, small), EndKind::OutputTooLarge);
    assert_eq!(kind_with("", huge, Limits::default()), EndKind::OutputTooLarge);
    for bad in [
        "(call $value (i32.const 18) (i32.const 0))",
        "(call $value (i32.const 17) (i32.const 2))",
        "(i32.store8 (i32.const 20) (i32.const 0xc1)) (call $value (i32.const 20) (i32.const 1))",
        "(i32.store8 (i32.const 20) (i32.const 0xdf)) (call $value (i32.const 20) (i32.const 1))",
    ] {
        assert_eq!(kind_of(bad), EndKind::InvalidResult, "{bad}");
    }
}

#[test]
fn arguments_and_requests_beyond_the_limits_are_refused() {
    let sandbox = sandbox();
    let component = echo();
    let with = Limits { input: 4, ..Limits::default() };
    let long = Value::check(vec![0xc4, 3, 0, 0, 0], &Default::default()).unwrap();
    let long = Call::new(&component, "t", long).with_options(limits(with));
    assert_eq!(end(&run(&sandbox, &long).report).0, EndKind::Refused);
    let with = Limits { memory: u64::MAX, ..Limits::default() };
    let greedy = call_with(&component, limits(with));
    assert_eq!(end(&run(&sandbox, &greedy).report).0, EndKind::Refused);
}

#[test]
fn fuel_is_counted_and_ends() {
    let sandbox = sandbox();
    let with = Limits { fuel: Some(100_000), ..Limits::default() };
    let component = guest("", "", "(loop $l (br $l)) (i32.const 0)");
    let ran = run(&sandbox, &call_with(&component, limits(with.clone())));
    assert_eq!(end(&ran.report).0, EndKind::OutOfFuel);
    assert_eq!(ran.report.usage.fuel, Some(100_000));
    let used = || run(&sandbox, &call_with(&echo(), limits(with.clone()))).report.usage.fuel;
    assert!(used().is_some_and(|fuel| (1..1000).contains(&fuel)));
    assert_eq!(used(), used());
}

#[test]
fn handles_have_a_limit() {
    let imports = "(import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" \
                   (func $timer (param i64) (result i32)))";
    let body = "(loop $l (drop (call $timer (i64.const 1))) (br $l)) (i32.const 0)";
    let ran = run(&sandbox(), &call(&guest(imports, "", body)));
    let (kind, message) = end(&ran.report);
    assert_eq!(kind, EndKind::Trapped(TrapKind::Handles));
    assert!(message.contains("1000"), "{message}");
}

#[test]
fn host_calls_do_not_take_everything_they_are_given() {
    let contract = EndKind::Trapped(TrapKind::Contract);
    let random = "(import \"wasi:random/random@0.2.0\" \"get-random-bytes\" \
                  (func $r (param i64 i32)))";
    let body = "(call $r (i64.const 1099511627776) (i32.const 200)) (i32.const 0)";
    let ran = run(&sandbox(), &call(&guest(random, "", body)));
    assert_eq!(end(&ran.report).0, contract);
    let poll = "(import \"wasi:io/poll@0.2.0\" \"poll\" (func $p (param i32 i32 i32)))
        (import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" \
        (func $timer (param i64) (result i32)))";
    let body = "(local $i i32) (local $handle i32)
        (local.set $handle (call $timer (i64.const 0)))
        (drop (memory.grow (i32.const 10)))
        (loop $l
            (i32.store (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 4)))
                (local.get $handle))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 1001))))
        (call $p (i32.const 65536) (i32.const 1001) (i32.const 200)) (i32.const 0)";
    let ran = run(&sandbox(), &call(&guest(poll, "", body)));
    let (kind, message) = end(&ran.report);
    assert_eq!(kind, contract);
    assert!(message.contains("1001 pollables"), "{message}");
}

#[test]
fn a_log_flood_is_cut_and_costs_little() {
    let imports = "(import \"sandmill:task/log@0.1.0\" \"write\" (func $log (param i32 i32 i32)))";
    let body = "(local $i i32)
        (drop (memory.grow (i32.const 500)))
        (call $log (i32.const 3) (i32.const 18) (i32.const 0))
        ;; Sixteen mebibytes of zeros in one line, a hundred times.
        (loop $l
            (call $log (i32.const 2) (i32.const 65536) (i32.const 16777216))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 100))))
        (call $value (i32.const 18) (i32.const 1))";
    let ran = run(&sandbox(), &call(&guest(imports, "", body)));
    assert!(ran.report.outcome.is_success(), "{:?}", ran.report);
    let bytes: usize = ran.lines.iter().map(|line| line.message.len()).sum();
    assert!(bytes < (1 << 20) + 10_000, "{bytes} bytes were kept");
    assert_eq!((ran.lines[0].source, ran.lines[0].level), (LogSource::Log, LogLevel::Warn));
    assert!(ran.lines[1].message.ends_with('…'));
    let last = ran.lines.last().unwrap();
    assert_eq!(last.source, LogSource::Host);
    assert!(last.message.contains("left out"));
}

#[test]
fn a_panic_message_is_found_on_standard_error() {
    let imports = "(import \"wasi:cli/stderr@0.2.0\" \"get-stderr\" (func $err (result i32)))
        (import \"wasi:io/streams@0.2.0\" \"[method]output-stream.write\" \
        (func $write (param i32 i32 i32 i32)))";
    let text = "\\nthread '<unnamed>' (1) panicked at src/lib.rs:1:2:\\nno such thing\\nnote: run";
    let length = text.len() - 3;
    let items = format!("(data (i32.const 1024) \"{text}\")");
    let body = format!(
        "(call $write (call $err) (i32.const 1024) (i32.const {length}) (i32.const 200)) unreachable"
    );
    let ran = run(&sandbox(), &call(&guest(imports, &items, &body)));
    let (kind, message) = end(&ran.report);
    assert_eq!(kind, EndKind::Trapped(TrapKind::Panic));
    assert_eq!(message, "panicked at src/lib.rs:1:2: no such thing");
    assert!(
        ran.lines
            .iter()
            .any(|line| { line.source == LogSource::Stderr && line.message == "no such thing" })
    );
}

#[test]
fn progress_is_merged_and_the_last_report_counts() {
    let imports = "(import \"sandmill:task/context@0.1.0\" \"report-progress\" \
        (func $report (param i64 i32 i64 i32 i32)))";
    let body = "(local $i i64)
        (loop $l
            (local.set $i (i64.add (local.get $i) (i64.const 1)))
            (call $report (local.get $i) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0))
            (br_if $l (i64.lt_u (local.get $i) (i64.const 100000))))
        (call $value (i32.const 18) (i32.const 1))";
    let ran = run(&sandbox(), &call(&guest(imports, "", body)));
    assert!(ran.report.outcome.is_success());
    assert_eq!((ran.progress.first(), ran.progress.last()), (Some(&1), Some(&100_000)));
    assert!(ran.progress.len() < 10_000);
    assert!(!ran.report.usage.read_context);
}

#[test]
fn what_is_no_task_component_is_refused_with_a_reason() {
    let sandbox = sandbox();
    let refusal = |bytes: Vec<u8>| {
        let end = sandbox.prepare(&Component::new(bytes, "test")).unwrap_err();
        assert_eq!(end.kind, EndKind::Refused);
        end.message
    };
    let wat = |text: &str| wat::parse_str(text).unwrap();
    assert!(refusal(Vec::new()).contains("empty"));
    assert!(refusal(wat("(module)")).contains("core module"));
    let whole = echo();
    let length = whole.bytes().len();
    assert!(refusal(whole.bytes()[..length / 2].to_vec()).contains("truncated at byte"));
    let other =
        refusal(wat("(component (core module $m) (export \"my-module\" (core module $m)))"));
    assert!(other.contains("does not export sandmill:task/runner@0.1.0; it exports my-module"));
    let nothing = refusal(wat("(component)"));
    assert!(nothing.contains("it exports nothing"), "{nothing}");
    let strange = refusal(wat("(component (import \"wasi:nn/graph@0.2.0\" (instance)))"));
    assert!(strange.contains("wasi:nn/graph@0.2.0"), "{strange}");
    let wide = refusal(wat("(component (core module (memory i64 1)))"));
    assert!(wide.contains("not valid"), "{wide}");
    let threads = refusal(wat("(component (core module (memory 1 1 shared)))"));
    assert!(threads.contains("not valid"), "{threads}");
    let gc = refusal(wat("(component (core module (type (struct))))"));
    assert!(gc.contains("not valid"), "{gc}");
    // A refusal stays one, and is cheap to repeat.
    assert!(refusal(wat("(component)")).contains("it exports nothing"));
    let ran = run(&sandbox, &call(&Component::new(wat("(module)"), "test")));
    assert_eq!(end(&ran.report).0, EndKind::Refused);
}

#[test]
fn a_host_without_a_pool_gives_the_same_answers() {
    let config = sandmill_sandbox::SandboxConfig { pooling: false, ..Default::default() };
    let sandbox = sandmill_sandbox::Sandbox::new(config).unwrap();
    let sandmill_sandbox::PoolDiagnosis::Off { reason } = sandbox.diagnosis().pool else {
        panic!("there is a pool")
    };
    assert_eq!(reason, "switched off");
    assert!(run(&sandbox, &call(&echo())).report.outcome.is_success());
    let small = Limits { memory: 10 << 20, ..Limits::default() };
    let fifty = guest("", &"(memory 16)".repeat(50), "(i32.const 0)");
    let ran = run(&sandbox, &call_with(&fifty, limits(small)));
    assert_eq!(end(&ran.report).0, EndKind::OutOfMemory);
}

#[test]
fn more_runs_than_slots_still_run() {
    let config = sandmill_sandbox::SandboxConfig { slots: 1, ..Default::default() };
    let sandbox = sandmill_sandbox::Sandbox::new(config).unwrap();
    let component = guest(
        "(import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" \
            (func $timer (param i64) (result i32)))
         (import \"wasi:io/poll@0.2.0\" \"[method]pollable.block\" (func $block (param i32)))",
        "",
        "(call $block (call $timer (i64.const 300000000))) \
         (call $value (i32.const 18) (i32.const 1))",
    );
    let call = call_with(&component, CallOptions::default());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..20).map(|_| scope.spawn(|| run(&sandbox, &call))).collect();
        for ran in runs {
            let report = ran.join().unwrap().report;
            assert!(report.outcome.is_success(), "{report:?}");
        }
    });
}
