//! What a guest can make the host keep for it has bounds.

use std::sync::Arc;

use crate::support::*;
use sandmill_core::{Attempt, CancelToken, Event, Events, Invoker as _};
use sandmill_wire::{EndKind, RunId, TrapKind};

#[test]
fn an_observer_that_panics_in_a_host_call_harms_no_run() {
    let imports = "(import \"sandmill:task/log@0.1.0\" \"write\" (func $log (param i32 i32 i32)))";
    let body = "(call $log (i32.const 2) (i32.const 16) (i32.const 1))
        (call $log (i32.const 2) (i32.const 16) (i32.const 1))
        (call $value (i32.const 18) (i32.const 1))";
    let events = Events::default();
    events.observe(Arc::new(|_: &Event| panic!("a broken observer")));
    let (run, call, cancel) = (RunId::new(), call(&guest(imports, "", body)), CancelToken::new());
    let attempt = Attempt { run, number: 1, call: &call, cancel: &cancel, events: &events };
    let report = sandbox().invoke(attempt);
    assert!(report.outcome.is_success(), "{report:?}");
}

#[test]
fn a_write_is_no_larger_than_streams_allow() {
    let imports = "(import \"wasi:cli/stdout@0.2.0\" \"get-stdout\" (func $out (result i32)))
        (import \"wasi:io/streams@0.2.0\" \"[method]output-stream.write\"
            (func $write (param i32 i32 i32 i32)))";
    let body = |bytes: usize| {
        format!(
            "(call $write (call $out) (i32.const 32768) (i32.const {bytes}) (i32.const 200))
            (call $value (i32.const 18) (i32.const 1))"
        )
    };
    let ran = run(&sandbox(), &call(&guest(imports, "", &body(64 << 10))));
    assert!(ran.report.outcome.is_success(), "{:?}", ran.report);
    assert!(ran.lines[0].message.starts_with('\0'), "{:?}", ran.lines[0]);
    let ran = run(&sandbox(), &call(&guest(imports, "", &body((64 << 10) + 1))));
    let (kind, message) = end(&ran.report);
    assert_eq!(kind, EndKind::Trapped(TrapKind::Contract));
    assert!(message.contains("65537 bytes") && message.contains("65536"), "{message}");
}

#[test]
fn the_text_of_a_request_is_bounded() {
    let imports = "(import \"wasi:http/types@0.2.0\" \"[constructor]fields\"
            (func $fields (result i32)))
        (import \"wasi:http/types@0.2.0\" \"[constructor]outgoing-request\"
            (func $request (param i32) (result i32)))
        (import \"wasi:http/types@0.2.0\" \"[method]outgoing-request.set-method\"
            (func $method (param i32 i32 i32 i32) (result i32)))
        (import \"wasi:http/types@0.2.0\" \"[method]outgoing-request.set-authority\"
            (func $authority (param i32 i32 i32 i32) (result i32)))";
    // A text of one letter, as long as it is told: 0 when it is taken.
    let try_it = |set: &str, bytes: u32| {
        let body = format!(
            "(memory.fill (i32.const 65536) (i32.const 97) (i32.const {bytes}))
            (call $number (i64.extend_i32_u {set} (i32.const 65536) (i32.const {bytes}))))"
        );
        number(&run(&sandbox(), &call(&guest(imports, "", &body))).report)
    };
    let method = "(call $method (call $request (call $fields)) (i32.const 9)";
    assert_eq!([try_it(method, 256), try_it(method, 257), try_it(method, 60_000)], [0, 1, 1]);
    let authority = "(call $authority (call $request (call $fields)) (i32.const 1)";
    let tried = [try_it(authority, 1024), try_it(authority, 1025), try_it(authority, 60_000)];
    assert_eq!(tried, [0, 1, 1]);
}
