//! How long cases take, for whoever wants the table to take less: with `SANDMILL_CONFORMANCE_TIMES`
//! in the environment it ends with the slowest, and with all of each executor.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Asks for it.
const VARIABLE: &str = "SANDMILL_CONFORMANCE_TIMES";
/// How many of the slowest are shown.
const SLOWEST: usize = 60;

/// What was measured: executor, case, and how long it took.
static TIMES: Mutex<Vec<(&str, String, Duration)>> = Mutex::new(Vec::new());

/// Measures a case.
pub(crate) fn measured(executor: &'static str, case: String, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    TIMES.lock().push((executor, case, start.elapsed()));
}

/// Shows what was measured, to whoever asked for it.
#[expect(clippy::print_stderr, reason = "whoever asked for the times should see them")]
pub(crate) fn show() {
    if env::var_os(VARIABLE).is_none() {
        return;
    }
    let mut times = TIMES.lock();
    let mut sums: BTreeMap<&str, Duration> = BTreeMap::new();
    for (executor, _, took) in &*times {
        *sums.entry(executor).or_default() += *took;
    }
    times.sort_by_key(|(.., took)| std::cmp::Reverse(*took));
    for (executor, case, took) in times.iter().take(SLOWEST) {
        eprintln!("{:8.3} s  {executor}::{case}", took.as_secs_f64());
    }
    for (executor, sum) in sums {
        eprintln!("{:8.3} s  all of {executor}", sum.as_secs_f64());
    }
}
