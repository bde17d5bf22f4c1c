//! Components made from WebAssembly text, and runs of them.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::sync::Arc;

use parking_lot::Mutex;
use sandmill_core::{
    Attempt, Call, CallOptions, CancelToken, Component, Event, EventKind, Events, Invoker as _,
    Limits, LogLine, Report,
};
use sandmill_sandbox::{Sandbox, SandboxConfig};
use sandmill_wire::{EndKind, Outcome, RunId, Value};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// The contract, and as much of WASI as these tests call.
const WIT: &str = r#"
package sandmill:test;

world guest {
    include sandmill:task/task@0.1.0;
    import sandmill:task/futures@0.1.0;
    import wasi:random/random@0.2.0;
    import wasi:random/insecure-seed@0.2.0;
    import wasi:io/poll@0.2.0;
    import wasi:clocks/monotonic-clock@0.2.0;
    import wasi:clocks/wall-clock@0.2.0;
    import wasi:cli/exit@0.2.0;
    import wasi:cli/stdout@0.2.0;
    import wasi:cli/stderr@0.2.0;
    import wasi:io/streams@0.2.0;
    import wasi:http/types@0.2.0;
}

world flow-guest {
    include guest;
    export sandmill:task/flows@0.1.0;
}

package wasi:random@0.2.0 {
    interface random {
        get-random-bytes: func(len: u64) -> list<u8>;
        get-random-u64: func() -> u64;
    }
    interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }
}

package wasi:io@0.2.0 {
    interface poll {
        resource pollable { ready: func() -> bool; block: func(); }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
    interface error { resource error; }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            write: func(contents: list<u8>) -> result<_, stream-error>;
        }
    }
}

package wasi:clocks@0.2.0 {
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
}

package wasi:http@0.2.0 {
    interface types {
        variant method {
            get, head, post, put, delete, connect, options, trace, patch, other(string)
        }
        resource fields { constructor(); }
        resource outgoing-request {
            constructor(headers: fields);
            set-method: func(method: method) -> result;
            set-authority: func(authority: option<string>) -> result;
        }
    }
}

package wasi:cli@0.2.0 {
    interface exit { exit: func(status: result); }
    interface stdout {
        use wasi:io/streams@0.2.0.{output-stream};
        get-stdout: func() -> output-stream;
    }
    interface stderr {
        use wasi:io/streams@0.2.0.{output-stream};
        get-stderr: func() -> output-stream;
    }
}
"#;

/// A guest whose `run` has this body. It sees the parameters `$task $task-len $args $args-len`,
/// the memory `$memory`, and may return `(call $value (ptr) (len))`. `imports` go first in the
/// module, `items` after the body.
pub(crate) fn guest(imports: &str, items: &str, body: &str) -> Component {
    guest_with_memory("(memory $memory (export \"memory\") 2)", imports, items, body)
}

/// Like [`guest`], with another declaration of the memory.
pub(crate) fn guest_with_memory(memory: &str, imports: &str, items: &str, body: &str) -> Component {
    component(&module(memory, imports, items, body))
}

/// A guest like [`guest`] whose task `t` is a flow. `names` has the text of its flows' names, of
/// one byte each: `t`.
pub(crate) fn flow(imports: &str, names: &str, body: &str) -> Component {
    let stores: String = (0..names.len())
        .map(|place| {
            let at = 240 + 8 * place;
            format!(
                "(i32.store (i32.const {at}) (i32.const {})) (i32.store (i32.const {}) (i32.const 1))",
                232 + place,
                at + 4
            )
        })
        .collect();
    let items = format!(
        r#"(data (i32.const 232) "{names}")
        (func (export "sandmill:task/flows@0.1.0#names") (result i32)
            (i32.store (i32.const 224) (i32.const 240))
            (i32.store (i32.const 228) (i32.const {}))
            {stores}
            (i32.const 224))"#,
        names.len()
    );
    let memory = "(memory $memory (export \"memory\") 2)";
    component_of("flow-guest", &module(memory, imports, &items, body))
}

fn module(memory: &str, imports: &str, items: &str, body: &str) -> String {
    format!(
        r#"(module
            {imports}
            {memory}
            (global $free (mut i32) (i32.const 4096))
            (data (i32.const 16) "t{{}}\c0")
            (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (global.get $free))
                (global.set $free (i32.and
                    (i32.add (i32.add (local.get $at) (local.get 3)) (i32.const 15))
                    (i32.const -16)))
                (block $fits (loop $more
                    (br_if $fits (i32.le_u (global.get $free)
                        (i32.mul (memory.size $memory) (i32.const 65536))))
                    (drop (memory.grow $memory (i32.const 1)))
                    (br $more)))
                (local.get $at))
            ;; A list of one descriptor: name "t", no doc, both schemas "{{}}".
            (func (export "sandmill:task/runner@0.1.0#describe") (result i32)
                (i32.store (i32.const 32) (i32.const 48))
                (i32.store (i32.const 36) (i32.const 1))
                (i32.store (i32.const 48) (i32.const 16))
                (i32.store (i32.const 52) (i32.const 1))
                (i32.store (i32.const 68) (i32.const 17))
                (i32.store (i32.const 72) (i32.const 2))
                (i32.store (i32.const 76) (i32.const 17))
                (i32.store (i32.const 80) (i32.const 2))
                (i32.const 32))
            (func $value (param $at i32) (param $length i32) (result i32)
                (i32.store (i32.const 128) (i32.const 0))
                (i32.store (i32.const 132) (local.get $at))
                (i32.store (i32.const 136) (local.get $length))
                (i32.const 128))
            ;; An eight-byte number as a MessagePack value.
            (func $number (param $number i64) (result i32)
                (local $place i32)
                (i32.store8 (i32.const 160) (i32.const 0xcf))
                (loop $next
                    (i32.store8 offset=161 (local.get $place)
                        (i32.wrap_i64 (i64.shr_u (local.get $number) (i64.sub (i64.const 56)
                            (i64.mul (i64.const 8) (i64.extend_i32_u (local.get $place)))))))
                    (local.set $place (i32.add (local.get $place) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $place) (i32.const 8))))
                (i32.const 160) (i32.const 9) (call $value))
            (func (export "sandmill:task/runner@0.1.0#run")
                (param $task i32) (param $task-len i32) (param $args i32) (param $args-len i32)
                (result i32)
                {body})
            {items})"#
    )
}

/// A component of one core module that implements the contract.
pub(crate) fn component(module: &str) -> Component {
    component_of("guest", module)
}

fn component_of(world: &str, module: &str) -> Component {
    let mut module = wat::parse_str(module).expect("the test's module is well-formed");
    let mut resolve = wit_parser::Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/wit");
    resolve.push_dir(wit).expect("the contract parses");
    let package = resolve.push_str("test.wit", WIT).expect("the test's WIT parses");
    let world = resolve.select_world(&[package], Some(world)).expect("the world is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("the metadata fits");
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .unwrap_or_else(|error| panic!("the module does not make a component: {error:?}"));
    Component::new(bytes, "test")
}

/// A sandbox with two slots.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(SandboxConfig { slots: 2, ..SandboxConfig::default() }).expect("a sandbox")
}

/// What an echo returns: its arguments.
pub(crate) fn echo() -> Component {
    guest("", "", "(call $value (local.get $args) (local.get $args-len))")
}

pub(crate) fn call(component: &Component) -> Call {
    Call::new(component, "t", Value::check(vec![0x80], &Default::default()).unwrap())
}

pub(crate) fn call_with(component: &Component, options: CallOptions) -> Call {
    call(component).with_options(options)
}

pub(crate) fn limits(limits: Limits) -> CallOptions {
    CallOptions { limits, ..CallOptions::default() }
}

/// What a run did and said.
pub(crate) struct Ran {
    pub(crate) report: Report,
    pub(crate) lines: Vec<LogLine>,
    pub(crate) progress: Vec<u64>,
}

pub(crate) fn run(sandbox: &Sandbox, call: &Call) -> Ran {
    run_until(sandbox, call, &CancelToken::new())
}

pub(crate) fn run_until(sandbox: &Sandbox, call: &Call, cancel: &CancelToken) -> Ran {
    let events = Events::default();
    let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let sink = Arc::clone(&seen);
    events.observe(Arc::new(move |event: &Event| match &event.kind {
        EventKind::Log(line) => sink.lock().0.push(line.clone()),
        EventKind::Progress(progress) => sink.lock().1.push(progress.done),
        _ => {}
    }));
    let run = RunId::new();
    let report = sandbox.invoke(Attempt { run, number: 1, call, cancel, events: &events });
    let (lines, progress) = std::mem::take(&mut *seen.lock());
    Ran { report, lines, progress }
}

/// The end's kind and message; panics on a value.
pub(crate) fn end(report: &Report) -> (EndKind, &str) {
    match &report.outcome {
        Outcome::Ended(end) => (end.kind, &end.message),
        other => panic!("the run did not end but gave {other:?}"),
    }
}

/// The number that a guest returned with `$number`.
pub(crate) fn number(report: &Report) -> u64 {
    let value = report.outcome.value().unwrap_or_else(|| panic!("no value: {report:?}"));
    let bytes: [u8; 9] = value.as_bytes().try_into().expect("nine bytes");
    assert_eq!(bytes[0], 0xcf);
    u64::from_be_bytes(bytes[1..].try_into().unwrap())
}
