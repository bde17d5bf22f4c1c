//! Bytes that are not a component of tasks: each is refused with the reason, and nothing else.

use sandmill::{Call, Component, EndKind, Outcome, args};
use sandmill_test_conformance::{Bench, TextGuest};

use crate::table::{Case, checks, same_story, still_good};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        what_is_not_a_component_is_refused_with_the_reason,
        every_truncation_is_refused,
        flipped_bytes_harm_nobody,
        a_component_without_tasks_is_refused,
        a_component_that_wants_what_there_is_not_is_refused,
    ]
}

fn refused(bench: &Bench, what: &str, bytes: Vec<u8>) -> String {
    let component = Component::new(bytes, what);
    let ran = bench.run_call(Call::new(&component, "t", args! {}.unwrap()));
    assert_eq!(ran.end().0, EndKind::Refused, "{what}: {:?}", ran.outcome);
    assert_eq!(ran.future.state().name, "Refused");
    assert!(bench.host.inspect(&component).is_err(), "{what}");
    same_story(what, &ran);
    ran.end().1.to_owned()
}

fn what_is_not_a_component_is_refused_with_the_reason(bench: &Bench) {
    let module = wat::parse_str("(module)").unwrap();
    for (what, bytes, reason) in [
        ("nothing", Vec::new(), "empty"),
        ("words", b"these are words".to_vec(), "not a WebAssembly component"),
        ("text", b"(component)".to_vec(), "WebAssembly text"),
        ("a program", std::fs::read("/proc/self/exe").unwrap()[..4_096].to_vec(), "native"),
        ("a module", module, "core module"),
        ("zeroes", vec![0; 1_000], "not a WebAssembly component"),
    ] {
        let message = refused(bench, what, bytes);
        assert!(message.contains(reason), "{what}: {message}");
    }
    still_good(bench);
}

fn echo() -> Vec<u8> {
    TextGuest::default().component().bytes().to_vec()
}

fn every_truncation_is_refused(bench: &Bench) {
    let whole = echo();
    let mut complete = 0;
    // Each is a component of its own to send.
    let step = if bench.executor.in_this_process { 1 } else { 10 };
    for length in (0..whole.len()).step_by(step) {
        let component = Component::new(whole[..length].to_vec(), "truncated");
        let ran = bench.run_call(Call::new(&component, "t", args! {}.unwrap()));
        match &ran.outcome {
            Outcome::Ended(end) if end.kind == EndKind::Refused => {}
            // Cut off between the sections after the last export: notes that no engine reads.
            Outcome::Value(value) if value.as_bytes() == [0x80] => complete += 1,
            other => panic!("{length} of {} bytes: {other:?}", whole.len()),
        }
    }
    assert!(complete <= 2, "{complete} truncations ran as if nothing was missing");
    let guest = bench.guest("probe");
    let half = guest.bytes()[..guest.bytes().len() / 2].to_vec();
    assert!(refused(bench, "half a guest", half).contains("truncated"));
    still_good(bench);
}

fn flipped_bytes_harm_nobody(bench: &Bench) {
    let whole = echo();
    let mut state = 7_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for _ in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..=random(3) {
            let (at, bit) = (random(bytes.len()), random(8));
            bytes[at] ^= 1 << bit;
        }
        let component = Component::new(bytes, "flipped");
        let mut options = sandmill::CallOptions::default();
        options.limits.timeout = std::time::Duration::from_millis(200);
        let call = Call::new(&component, "t", args! {}.unwrap()).with_options(options);
        // Whatever it has become, it ends in one of the usual ways.
        let ran = bench.run_call(call);
        if let sandmill::Outcome::Ended(end) = &ran.outcome {
            assert_ne!(end.kind, EndKind::HostError, "{}", end.message);
        }
    }
    still_good(bench);
}

fn a_component_without_tasks_is_refused(bench: &Bench) {
    let empty = wat::parse_str("(component)").unwrap();
    let message = refused(bench, "no exports", empty);
    assert!(message.contains("sandmill:task/runner"), "{message}");
    let other = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "sandmill:task/runner@0.1.0") (canon lift (core func $i "f"))))"#,
    );
    let other = other.expect("it is a component, only not one of tasks");
    let message = refused(bench, "wrong export", other);
    assert!(message.contains("sandmill:task/runner"), "{message}");
    still_good(bench);
}

fn a_component_that_wants_what_there_is_not_is_refused(bench: &Bench) {
    for import in ["wasi:keyvalue/store@0.2.0", "sandmill:task/secrets@0.1.0", "env"] {
        let bytes = wat::parse_str(format!(
            r#"(component (import "{import}" (instance (export "get" (func)))))"#
        ));
        let Ok(bytes) = bytes else { continue };
        let message = refused(bench, import, bytes);
        assert!(message.contains("sandmill:task/runner") || message.contains(import), "{message}");
    }
}
