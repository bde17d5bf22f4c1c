//! The short form for CI. It fails on gross loss alone, as ratios within one run: a machine that is
//! slow or busy is so for both sides.

use crate::measure::Measure;
use crate::plan::{CHECK_LONG, CHECK_SHORT};
use crate::results::Results;
use crate::session::Reading;

/// The pool makes at least so much of the bare loop.
const POOL_LEAST: f64 = 0.5;
/// A long map may use so much more memory than a short one, in bytes: calls that are queued or
/// results that are kept would be far more.
const GROWTH_MOST: u64 = 32 << 20;

/// Faults, in words; none when all is well.
pub(crate) fn faults(results: &Results) -> Vec<String> {
    let mut faults = Vec::new();
    for step in &results.0 {
        for cell in step.cells.iter().filter(|cell| cell.rate().is_none()) {
            let why = cell.why.as_deref().unwrap_or("no answer");
            faults.push(format!("`{}` in {}: {why}", cell.subject, step.title));
        }
    }
    // The best round: what disturbs one side alone is not the pool's.
    let ratio = results
        .longest("pool", "bare")
        .and_then(|step| step.ratio("pool", "bare", Reading::rate).map(|ratio| ratio.most));
    match ratio {
        Some(ratio) if ratio >= POOL_LEAST => {}
        Some(ratio) => faults
            .push(format!("the pool makes {ratio:.2} of the bare loop, the least is {POOL_LEAST}")),
        None => faults.push("the pool was not measured beside the bare loop".to_owned()),
    }
    let peak = |runs| {
        results.step("pool", |it| it == Measure::Nothing { runs })?.cell("pool")?.peak_bytes()
    };
    match (peak(CHECK_SHORT), peak(CHECK_LONG)) {
        (Some(short), Some(long)) if long.saturating_sub(short) <= GROWTH_MOST => {}
        (Some(short), Some(long)) => faults.push(format!(
            "a map of {CHECK_LONG} calls uses {} MiB at its peak, one of {CHECK_SHORT} {} MiB: \
             memory grows with the number of calls",
            long >> 20,
            short >> 20
        )),
        _ => faults.push("memory was not measured".to_owned()),
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Cell, StepResults};

    fn step(runs: u64, cells: &[(&'static str, f64, u64)]) -> StepResults {
        let cell = |&(subject, seconds, mebibytes): &(&'static str, f64, u64)| {
            let (cpu_seconds, latency, peak_bytes) = (0.0, None, mebibytes << 20);
            let reading = Reading { runs, seconds, cpu_seconds, peak_bytes, latency };
            Cell { subject, readings: vec![Some(reading)], why: None }
        };
        let (title, measure) = ("t".to_owned(), Measure::Nothing { runs });
        StepResults { title, measure, rounds: 1, cells: cells.iter().map(cell).collect() }
    }

    #[test]
    fn gross_loss_is_a_fault_and_small_loss_is_not() {
        let results = |pool, long| {
            Results(vec![
                step(20_000, &[("bare", 1.0, 30), ("pool", pool, 30)]),
                step(CHECK_SHORT, &[("pool", 1.0, 30)]),
                step(CHECK_LONG, &[("pool", 1.0, long)]),
            ])
        };
        assert_eq!(faults(&results(1.5, 40)), Vec::<String>::new());
        assert!(faults(&results(2.5, 40))[0].contains("of the bare loop"));
        assert!(faults(&results(1.0, 90))[0].contains("memory grows"));
        assert_eq!(faults(&Results::default()).len(), 2);
    }
}
