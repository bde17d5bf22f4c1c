//! A sandbox that has nothing to run uses no processor, also right after a run was stopped. Alone
//! in its process, because it measures the process.

mod support;

use std::time::Duration;

use sandmill_core::Limits;
use sandmill_wire::EndKind;
use support::*;

#[test]
fn an_idle_sandbox_uses_no_processor() {
    let sandbox = sandbox();
    let component = guest("", "", "(loop $l (br $l)) (i32.const 0)");
    let with = Limits { timeout: Duration::from_millis(50), ..Limits::default() };
    let before = processor_time();
    for _ in 0..10 {
        let ran = run(&sandbox, &call_with(&component, limits(with.clone())));
        assert_eq!(end(&ran.report).0, EndKind::TimedOut);
    }
    assert!(processor_time() > before, "the measure does not measure");
    // The ticker takes up to two ticks to see that nothing runs.
    std::thread::sleep(Duration::from_millis(100));
    let before = processor_time();
    std::thread::sleep(Duration::from_secs(2));
    let spent = processor_time() - before;
    assert!(spent <= 2, "the idle process took {spent} hundredths of a second");
}

/// Hundredths of a second of processor time that all threads of this process have used.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
