//! A run without grants is a function of its call: no time, no randomness, nothing left over.

use std::time::{Duration, Instant};

use crate::support::*;
use sandmill_core::{Call, CallOptions, DirGrant, Grants};
use sandmill_sandbox::{VIRTUAL_MONOTONIC_START, VIRTUAL_WALL_START};
use sandmill_wire::{EndKind, Value};

const CLOCKS: &str =
    "(import \"wasi:clocks/monotonic-clock@0.2.0\" \"now\" (func $now (result i64)))
    (import \"wasi:clocks/wall-clock@0.2.0\" \"now\" (func $wall (param i32)))
    (import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" \
        (func $timer (param i64) (result i32)))
    (import \"wasi:io/poll@0.2.0\" \"[method]pollable.block\" (func $block (param i32)))";

fn granted(grants: Grants) -> CallOptions {
    CallOptions { grants, ..CallOptions::default() }
}

#[test]
fn time_stands_still_but_for_sleep() {
    let sandbox = sandbox();
    let busy = "(local $i i32)
        (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 10000000))))
        (call $number (call $now))";
    let busy = guest(CLOCKS, "", busy);
    assert_eq!(number(&run(&sandbox, &call(&busy)).report), VIRTUAL_MONOTONIC_START);

    let asleep = "(call $block (call $timer (i64.const 30000001)))
        (call $block (call $timer (i64.const 20000000)))
        (call $number (call $now))";
    let start = Instant::now();
    let ran = run(&sandbox, &call(&guest(CLOCKS, "", asleep)));
    assert_eq!(number(&ran.report), VIRTUAL_MONOTONIC_START + 50_000_001);
    assert!(start.elapsed() >= Duration::from_millis(50));

    let wall = "(call $block (call $timer (i64.const 1)))
        (call $wall (i32.const 200)) (call $number (i64.load (i32.const 200)))";
    let wall = guest(CLOCKS, "", wall);
    assert_eq!(number(&run(&sandbox, &call(&wall)).report), VIRTUAL_WALL_START);
    let real = call_with(&wall, granted(Grants { clock: true, ..Grants::default() }));
    assert_ne!(number(&run(&sandbox, &real).report), VIRTUAL_WALL_START);
}

#[test]
fn randomness_follows_from_the_call() {
    let imports = "(import \"wasi:random/random@0.2.0\" \"get-random-u64\" (func $r (result i64)))
        (import \"wasi:random/insecure-seed@0.2.0\" \"insecure-seed\" (func $seed (param i32)))";
    let component = guest(imports, "", "(drop (call $r)) (call $number (call $r))");
    let seed = guest(
        imports,
        "",
        "(call $seed (i32.const 200)) (call $number (i64.load (i32.const 200)))",
    );
    let sandbox = sandbox();
    let one = number(&run(&sandbox, &call(&component)).report);
    assert_eq!(one, number(&run(&crate::support::sandbox(), &call(&component)).report));
    let other = Value::check(vec![0xde, 0, 0], &Default::default()).unwrap();
    let other = Call::new(&component, "t", other);
    assert_ne!(one, number(&run(&sandbox, &other).report));
    let system = call_with(&component, granted(Grants { random: true, ..Grants::default() }));
    let system = || number(&run(&sandbox, &system).report);
    assert_ne!(system(), system());
    let seeds = [(); 2].map(|()| number(&run(&sandbox, &call(&seed)).report));
    assert_eq!(seeds[0], seeds[1]);
}

#[test]
fn nothing_is_left_of_the_run_before() {
    let sandbox = sandbox();
    // Paints two mebibytes and its globals, and a table; then another component, and the same,
    // look for anything but zeros.
    let body = "(local $at i32) (local $found i64)
        (drop (memory.grow (i32.const 30)))
        (local.set $at (i32.const 65536))
        (loop $l
            (local.set $found (i64.or (local.get $found) (i64.load (local.get $at))))
            (i64.store (local.get $at) (i64.const -1))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $l (i32.lt_u (local.get $at) (i32.const 2097152))))
        (local.set $found (i64.or (local.get $found) (global.get $g)))
        (global.set $g (i64.const -1))
        (if (i32.eqz (ref.is_null (table.get $f (i32.const 3))))
            (then (local.set $found (i64.const 77))))
        (table.set $f (i32.const 3) (ref.func $value))
        (call $number (local.get $found))";
    let items =
        "(global $g (mut i64) (i64.const 0)) (table $f 8 funcref) (elem declare func $value)";
    let one = guest("", items, body);
    let two = guest("", &format!("{items} (memory 4)"), body);
    for round in 0..200 {
        let component = if round % 3 == 0 { &two } else { &one };
        assert_eq!(number(&run(&sandbox, &call(component)).report), 0, "in round {round}");
    }
}

#[test]
fn nan_bits_are_canonical() {
    let body = "(call $number (i64.reinterpret_f64 (f64.add
        (f64.reinterpret_i64 (i64.const 0x7ff4000000000123)) (f64.const 1))))";
    let ran = run(&sandbox(), &call(&guest("", "", body)));
    assert_eq!(number(&ran.report), 0x7ff8_0000_0000_0000);
}

#[test]
fn the_context_is_told_and_noted() {
    let imports = "(import \"sandmill:task/context@0.1.0\" \"map-index\" (func $i (param i32)))
        (import \"sandmill:task/context@0.1.0\" \"deadline\" (func $d (param i32)))";
    let body = "(call $i (i32.const 200)) (call $number (i64.load offset=8 (i32.const 200)))";
    let indexed = call(&guest(imports, "", body)).at_index(41);
    let ran = run(&sandbox(), &indexed);
    assert_eq!(number(&ran.report), 41);
    assert!(ran.report.usage.read_context);
    let body = "(call $d (i32.const 200)) (call $number (i64.load offset=8 (i32.const 200)))";
    let left = number(&run(&sandbox(), &call(&guest(imports, "", body))).report);
    assert!((1..=300_000_000_000).contains(&left));
}

#[test]
fn a_granted_directory_has_to_be_there() {
    let dir: DirGrant = "/no/such/place::/data".parse().unwrap();
    let options = granted(Grants { dirs: vec![dir], ..Grants::default() });
    let ran = run(&sandbox(), &call_with(&echo(), options));
    let (kind, message) = end(&ran.report);
    assert_eq!(kind, EndKind::Refused);
    assert!(message.contains("/no/such/place"), "{message}");
}
