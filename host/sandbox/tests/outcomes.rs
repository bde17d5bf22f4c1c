//! How runs end: values, traps, and every limit, by guests that no toolchain would make.

mod support;

use std::time::{Duration, Instant};

use sandmill_core::{Limits, LogSource, Call, CancelToken, Component, Invoker as _};
use sandmill_wire::{EndKind, TrapKind, Value};
use support::*;

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
