//! Cases that measure this process and its workers as a whole, so nothing else may run in them: each
//! starts this test binary again for itself alone.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sandmill::EndKind;
use sandmill_test_conformance::{Bench, EXECUTORS, Held};

use crate::table::{Case, checks};

/// Which executor and case this process is for.
const VARIABLE: &str = "SANDMILL_CONFORMANCE_ALONE";

/// A case by its name.
type Alone = (&'static str, fn(&Bench));

/// The cases.
const ALONE: &[Alone] = &[
    ("no_guest_uses_the_processor_after_a_timeout", no_processor_after_a_timeout),
    ("memory_goes_back_after_each_run", memory_goes_back),
];

pub(crate) fn cases() -> Vec<Case> {
    checks![no_guest_uses_the_processor_after_a_timeout, memory_goes_back_after_each_run]
}

fn no_guest_uses_the_processor_after_a_timeout(bench: &Bench) {
    again(bench, "no_guest_uses_the_processor_after_a_timeout");
}

fn memory_goes_back_after_each_run(bench: &Bench) {
    again(bench, "memory_goes_back_after_each_run");
}

fn again(bench: &Bench, case: &str) {
    let output = Command::new(env::current_exe().unwrap())
        .env(VARIABLE, format!("{} {case}", bench.executor.name))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether this process was started for one case; then it has been run.
pub(crate) fn was_asked() -> bool {
    let Ok(asked) = env::var(VARIABLE) else { return false };
    let (executor, case) = asked.split_once(' ').expect("an executor and a case");
    let executor = EXECUTORS.iter().find(|known| known.name == executor).expect("it is known");
    let (_, run) = ALONE.iter().find(|(name, _)| *name == case).expect("it is known");
    run(&Bench::fresh(executor, 2));
    true
}

fn no_processor_after_a_timeout(bench: &Bench) {
    for task in ["spin", "spin_in_host_calls", "fill_for_ever"] {
        let ran = bench.run_with("hostile", task, "{}", |options| {
            options.limits.timeout = Duration::from_millis(300);
        });
        assert_eq!(ran.end().0, EndKind::TimedOut);
    }
    let before = Held::now();
    let start = Instant::now();
    thread::sleep(Duration::from_secs(1));
    let after = Held::now();
    assert_eq!(after.processes, before.processes);
    let used = after.ticks - before.ticks;
    assert!(used <= 10, "{used} of 100 ticks in {:?} of doing nothing", start.elapsed());
}

fn memory_goes_back(bench: &Bench) {
    let fill = || {
        let ran = bench.run("hostile", "allocate", r#"{"bytes":209715200}"#);
        assert_eq!(ran.value::<u64>(), 209_715_200);
    };
    fill();
    let before = Held::now();
    (0..20).for_each(|_| fill());
    let after = Held::now();
    assert!(before.memory < before.processes * (150 << 20), "after a run of 200 MiB: {before:?}");
    let grown = after.memory.saturating_sub(before.memory);
    assert!(grown < 32 << 20, "after one run {before:?}, after twenty more {after:?}");
}
