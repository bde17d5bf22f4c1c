//! What only WebAssembly text can express: bombs of memories and tables, loops where no compiler
//! puts them, results that point anywhere, and features that no task needs.

use std::time::Duration;

use sandmill::{Call, CallOptions, Component, EndKind, TrapKind, args};
use sandmill_test_conformance::{Bench, Ran, TextGuest, component_of_module};

use crate::table::{Case, checks, same_story, still_good};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        many_memories_share_one_limit,
        tables_are_limited,
        memories_and_tables_are_limited_from_the_start,
        a_loop_is_stopped_wherever_it_is,
        traps_have_their_kinds,
        results_that_point_anywhere_are_caught,
        descriptions_are_checked,
        features_that_no_task_needs_are_refused,
        deep_recursion_with_host_calls_in_it_traps,
    ]
}

fn run(bench: &Bench, component: &Component, change: impl FnOnce(&mut CallOptions)) -> Ran {
    let mut options = CallOptions::default();
    change(&mut options);
    bench.run_call(Call::new(component, "t", args! {}.unwrap()).with_options(options))
}

fn run_text(bench: &Bench, run_body: &str, items: &str) -> Ran {
    let guest = TextGuest { run: run_body, items, ..TextGuest::default() };
    run(bench, &guest.component(), |_| {})
}

const RETURN: &str = "(call $value (local.get $args) (local.get $args-len))";

fn many_memories_share_one_limit(bench: &Bench) {
    // 24 memories that each grow by 16 MiB: none is large, all together are.
    let names: Vec<String> = (0..24).map(|number| format!("$more{number}")).collect();
    let items: String = names.iter().map(|name| format!("(memory {name} 0)")).collect();
    let grow: String =
        names.iter().map(|name| format!("(drop (memory.grow {name} (i32.const 256)))")).collect();
    let ran = run_text(bench, &format!("{grow} {RETURN}"), &items);
    assert_eq!(ran.end().0, EndKind::OutOfMemory, "{}", ran.end().1);
    same_story("many memories", &ran);
    let few: String = names[..8]
        .iter()
        .map(|name| format!("(drop (memory.grow {name} (i32.const 256)))"))
        .collect();
    let ran = run_text(bench, &format!("{few} {RETURN}"), &items);
    assert_eq!(ran.bytes(), [0x80]);
    assert_eq!(ran.usage.peak_memory, (8 * 256 + 2) << 16);
    still_good(bench);
}

fn tables_are_limited(bench: &Bench) {
    let grow = |elements: u32| {
        format!("(drop (table.grow $table (ref.null func) (i32.const {elements}))) {RETURN}")
    };
    let table = "(table $table 0 funcref)";
    assert_eq!(run_text(bench, &grow(90_000), table).bytes(), [0x80]);
    let ran = run_text(bench, &grow(10_000_000), table);
    assert_eq!(ran.end().0, EndKind::OutOfMemory, "{}", ran.end().1);
    assert!(ran.end().1.contains("table"), "{}", ran.end().1);
    // Several tables count together.
    let tables: String = (0..4).map(|number| format!("(table $t{number} 0 funcref)")).collect();
    let body: String = (0..4)
        .map(|number| format!("(drop (table.grow $t{number} (ref.null func) (i32.const 30000)))"))
        .collect();
    let ran = run_text(bench, &format!("{body} {RETURN}"), &tables);
    assert_eq!(ran.end().0, EndKind::OutOfMemory, "{}", ran.end().1);
    still_good(bench);
}

fn memories_and_tables_are_limited_from_the_start(bench: &Bench) {
    // 320 MiB and ten million elements before the first instruction.
    for (memory, items) in [
        ("(memory $memory (export \"memory\") 5120)", ""),
        (TextGuest::default().memory, "(table 10000000 funcref)"),
        (TextGuest::default().memory, "(memory 2500) (memory 2500)"),
    ] {
        let guest = TextGuest { memory, items, ..TextGuest::default() };
        let ran = run(bench, &guest.component(), |_| {});
        assert!(
            matches!(ran.end().0, EndKind::OutOfMemory | EndKind::Refused),
            "{memory} {items}: {:?}",
            ran.outcome
        );
    }
    still_good(bench);
}

const FOR_EVER: &str = "(loop $for-ever (br $for-ever))";

fn a_loop_is_stopped_wherever_it_is(bench: &Bench) {
    let after = format!(
        "(func (export \"cabi_post_sandmill:task/runner@0.1.0#run\") (param i32) {FOR_EVER})"
    );
    // `run` sets the flag, so that `describe` comes through.
    let flag = "(global $running (mut i32) (i32.const 0))";
    let in_realloc = format!("(if (i32.eq (local.get 3) (i32.const 77)) (then {FOR_EVER}))");
    let run_for_ever = format!("{FOR_EVER} (unreachable)");
    for (place, guest) in [
        ("run", TextGuest { run: &run_for_ever, ..TextGuest::default() }),
        ("post-return", TextGuest { items: &after, ..TextGuest::default() }),
        ("realloc", TextGuest { realloc: &in_realloc, items: flag, ..TextGuest::default() }),
    ] {
        let component = guest.component();
        let mut options = CallOptions::default();
        options.limits.timeout = Duration::from_millis(100);
        // 77 bytes of arguments.
        let arguments = args! { "padding" => "x".repeat(66) }.unwrap();
        assert_eq!(arguments.len_bytes(), 77);
        let ran = bench.run_call(Call::new(&component, "t", arguments).with_options(options));
        assert_eq!(ran.end().0, EndKind::TimedOut, "{place}: {:?}", ran.outcome);
        same_story(place, &ran);
    }
    // A start function runs before the component can describe itself: there nothing is run.
    let items = format!("(func $start {FOR_EVER}) (start $start)");
    let ran = run(bench, &TextGuest { items: &items, ..TextGuest::default() }.component(), |_| {});
    assert_eq!(ran.end().0, EndKind::Refused, "{:?}", ran.outcome);
    still_good(bench);
}

fn traps_have_their_kinds(bench: &Bench) {
    let items = "(table $table 4 funcref) (type $other (func (param i64)))
        (elem (table $table) (i32.const 1) func $realloc)";
    for (body, kind) in [
        ("(unreachable)", TrapKind::Unreachable),
        ("(i32.div_u (i32.const 1) (i32.const 0))", TrapKind::Arithmetic),
        ("(i32.div_s (i32.const 0x80000000) (i32.const -1))", TrapKind::Arithmetic),
        ("(i32.trunc_f64_s (f64.const 1e300))", TrapKind::Arithmetic),
        ("(i32.load (i32.const 0x7fffffff))", TrapKind::OutOfBounds),
        (
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const -1)) (i32.const 0)",
            TrapKind::OutOfBounds,
        ),
        (
            "(call_indirect $table (type $other) (i64.const 0) (i32.const 0)) (i32.const 0)",
            TrapKind::BadCall,
        ),
        (
            "(call_indirect $table (type $other) (i64.const 0) (i32.const 1)) (i32.const 0)",
            TrapKind::BadCall,
        ),
        (
            "(call_indirect $table (type $other) (i64.const 0) (i32.const 9)) (i32.const 0)",
            TrapKind::OutOfBounds,
        ),
    ] {
        let ran = run_text(bench, body, items);
        assert_eq!(ran.end().0, EndKind::Trapped(kind), "{body}: {}", ran.end().1);
        assert_eq!(ran.states, ["Pending", "Running", "Trapped"]);
        same_story(body, &ran);
    }
    still_good(bench);
}

fn results_that_point_anywhere_are_caught(bench: &Bench) {
    for body in [
        // The result's own place.
        "(i32.const -4)",
        "(i32.const 0x7ffffff0)",
        "(i32.const 129)",
        // Where it says its bytes are.
        "(call $value (i32.const 0x7ffffff0) (i32.const 4))",
        "(call $value (i32.const 0) (i32.const 0x7fffffff))",
        "(call $value (i32.const -1) (i32.const -1))",
        // A result that is neither one nor the other.
        "(drop (call $value (i32.const 18) (i32.const 1))) (i32.store (i32.const 128) (i32.const 2)) (i32.const 128)",
        // A failure whose kind is not UTF-8, and one whose flag is no boolean.
        "(i32.store8 (i32.const 300) (i32.const 0xff))
         (i32.store (i32.const 128) (i32.const 1))
         (i32.store (i32.const 132) (i32.const 300)) (i32.store (i32.const 136) (i32.const 1))
         (i32.const 128)",
    ] {
        let ran = run_text(bench, body, "");
        assert!(
            matches!(
                ran.end().0,
                EndKind::Trapped(TrapKind::Contract | TrapKind::OutOfBounds)
                    | EndKind::OutputTooLarge
            ),
            "{body}: {:?}",
            ran.outcome
        );
        same_story(body, &ran);
    }
    still_good(bench);
}

fn descriptions_are_checked(bench: &Bench) {
    let list = |address: u32, count: u32| {
        format!(
            "(i32.store (i32.const 200) (i32.const {address})) \
             (i32.store (i32.const 204) (i32.const {count})) \
             (return (i32.const 200))"
        )
    };
    let many = list(1024, 1_000_000);
    let stray = list(0x7fff_0000, 10);
    for (what, describe) in [
        ("a trap", "(unreachable)"),
        ("a million descriptors", &many),
        ("descriptors that are not there", &stray),
        ("a name that is no name", "(i32.store8 (i32.const 16) (i32.const 0x1b))"),
    ] {
        let guest = TextGuest { describe, ..TextGuest::default() };
        let ran = run(bench, &guest.component(), |_| {});
        assert_eq!(ran.end().0, EndKind::Refused, "{what}: {:?}", ran.outcome);
        assert!(!ran.end().1.contains('\u{1b}'), "{}", ran.end().1.escape_debug());
    }
    still_good(bench);
}

fn features_that_no_task_needs_are_refused(bench: &Bench) {
    let core = |text: &str| wat::parse_str(format!("(component (core module {text}))")).unwrap();
    for (what, bytes) in [
        ("64-bit memory", core("(memory i64 1)")),
        ("shared memory", core("(memory 1 1 shared)")),
        ("garbage collection", core("(type (struct (field i32)))")),
        ("exceptions", core("(tag (param i32))")),
    ] {
        let ran = run(bench, &Component::new(bytes, what), |_| {});
        assert_eq!(ran.end().0, EndKind::Refused, "{what}: {:?}", ran.outcome);
    }
    still_good(bench);
}

fn deep_recursion_with_host_calls_in_it_traps(bench: &Bench) {
    // Every level calls the host, so that host frames would be on the stack if there were any.
    let text = r#"(module
        (import "sandmill:task/context@0.1.0" "attempt" (func $attempt (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 16) "t{}")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
        (func (export "sandmill:task/runner@0.1.0#describe") (result i32)
            (i32.store (i32.const 32) (i32.const 48)) (i32.store (i32.const 36) (i32.const 1))
            (i32.store (i32.const 48) (i32.const 16)) (i32.store (i32.const 52) (i32.const 1))
            (i32.store (i32.const 68) (i32.const 17)) (i32.store (i32.const 72) (i32.const 2))
            (i32.store (i32.const 76) (i32.const 17)) (i32.store (i32.const 80) (i32.const 2))
            (i32.const 32))
        (func $deeper (param i32) (result i32)
            (i32.add (call $attempt)
                (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0))))
        (func (export "sandmill:task/runner@0.1.0#run") (param i32 i32 i32 i32) (result i32)
            (call $deeper (i32.const 0))))"#;
    let ran = run(bench, &component_of_module(text), |_| {});
    assert_eq!(ran.end().0, EndKind::Trapped(TrapKind::StackOverflow), "{}", ran.end().1);
    still_good(bench);
}
