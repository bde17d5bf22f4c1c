//! What Sandmill is to reach, and whether it did in this run. Each goal is a ratio within the run,
//! or a number that hangs on nothing but the machine's disk and memory.

use serde::Serialize;

use crate::measure::Measure;
use crate::results::Results;
use crate::session::Reading;
use crate::table::{short, thousands};

/// Whether a goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Reached,
    Missed,
    /// What it takes was not measured in this run.
    NotMeasured,
}

/// One goal.
#[derive(Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) goal: &'static str,
    pub(crate) found: String,
    pub(crate) verdict: Verdict,
}

impl Goal {
    fn new(what: &'static str, goal: &'static str, found: Option<(String, bool)>) -> Self {
        let (found, verdict) = match found {
            Some((found, true)) => (found, Verdict::Reached),
            Some((found, false)) => (found, Verdict::Missed),
            None => ("not measured".to_owned(), Verdict::NotMeasured),
        };
        Self { what, goal, found, verdict }
    }
}

const MIB: f64 = 1_048_576.0;

/// All of them, in the order of the table.
pub(crate) fn goals(results: &Results, cores: usize) -> Vec<Goal> {
    let mut goals = vec![
        Goal::new(
            "`pool`, no-op map, runs/s",
            "≥ 0.90 of the bare loop on as many threads",
            pool_by_bare(results),
        ),
        Goal::new(
            "round trip of one submit on an idle pool",
            "≤ bare run + 20 µs",
            round_trip(results),
        ),
        Goal::new(
            "`remote`, one local worker, no-op map",
            "≥ 0.7 of `pool` per CPU second",
            remote_by_pool(results),
        ),
        two_workers(results, cores),
        Goal::new("1 MiB in and out, `pool`", "≥ 0.5 of the bare loop", echo(results)),
        Goal::new(
            "journaled flow, no-op map of 100,000",
            "≥ 20,000 runs/s, nothing lost",
            journal(results),
        ),
        Goal::new(
            "1,000,000 mapped runs, cost of one",
            "within 10 % of that at 10,000",
            growth(results),
        ),
        Goal::new(
            "1,000,000 mapped runs, results held",
            "peak ≤ 512 MiB",
            peak(results, Measure::Hold { runs: 1_000_000 }, 512.0),
        ),
        Goal::new(
            "1,000,000 mapped runs, results streamed",
            "peak ≤ 100 MiB",
            peak(results, Measure::Nothing { runs: 1_000_000 }, 100.0),
        ),
        call(results),
    ];
    let peers = [
        ("no-op map of 10,000, against Dask", "≥ 200 times", "dask", 200.0),
        ("no-op map of 10,000, against Ray", "≥ 80 times", "ray", 80.0),
        ("no-op map of 10,000, against Prefect 3", "≥ 1,000 times", "prefect", 1_000.0),
    ];
    goals
        .extend(peers.map(|(what, goal, peer, times)| against(results, (what, goal), peer, times)));
    goals
}

type Found = Option<(String, bool)>;

fn pool_by_bare(results: &Results) -> Found {
    let step = results.longest("pool", "bare")?;
    let ratio = step.ratio("pool", "bare", Reading::rate)?.median;
    Some((format!("{ratio:.2} ({})", step.title), ratio >= 0.90))
}

fn round_trip(results: &Results) -> Found {
    let step = results.step("pool", |measure| matches!(measure, Measure::RoundTrip { .. }))?;
    // Those of the peers have the bare loop beside them too, with fewer runs.
    let steps = results.0.iter().filter(|it| matches!(it.measure, Measure::RoundTrip { .. }));
    let step = steps.max_by_key(|it| it.measure.runs()).unwrap_or(step);
    let median = |name| {
        let cell = step.cell(name)?;
        cell.over(|reading| reading.latency.map_or(f64::NAN, |it| it.median)).map(|it| it.median)
    };
    let (pool, bare) = (median("pool")?, median("bare-1")?);
    Some((format!("{pool:.1} µs, bare {bare:.1} µs: + {:.1} µs", pool - bare), pool - bare <= 20.0))
}

fn remote_by_pool(results: &Results) -> Found {
    let step = results.longest("remote-1", "pool")?;
    let micros = |name| step.cell(name)?.cpu_micros();
    let ratio = micros("pool")? / micros("remote-1")?;
    Some((format!("{ratio:.2} ({})", step.title), ratio >= 0.7))
}

fn two_workers(results: &Results, cores: usize) -> Goal {
    let (what, goal) = ("`remote`, 1 ms tasks, two workers of one slot", "≥ 0.97 of ideal");
    match remote_by_ideal(results, cores) {
        Some((found, ratio)) if ratio > IDEAL_MOST => {
            let found = format!("{found}: the machine was not ours alone");
            Goal { found, ..Goal::new(what, goal, None) }
        }
        found => Goal::new(what, goal, found.map(|(found, ratio)| (found, ratio >= 0.97))),
    }
}

fn remote_by_ideal(results: &Results, cores: usize) -> Option<(String, f64)> {
    let step = results.step("remote-2", |measure| matches!(measure, Measure::Spin { .. }))?;
    // Ideal is what two threads do with nothing between them and the tasks.
    let ratio = match cores {
        2 => step.ratio("remote-2", "bare", Reading::rate)?.median,
        _ => step.ratio("remote-2", "bare-1", Reading::rate)?.median / 2.0,
    };
    Some((format!("{ratio:.2}"), ratio))
}

/// Nothing is faster than ideal: then others used the machine, and the one with more processes got
/// more of it.
const IDEAL_MOST: f64 = 1.03;

fn echo(results: &Results) -> Found {
    let large = |measure| matches!(measure, Measure::Echo { bytes, .. } if bytes >= 1 << 20);
    let ratio = results.step("pool", large)?.ratio("pool", "bare", Reading::rate)?.median;
    Some((format!("{ratio:.2}"), ratio >= 0.5))
}

fn journal(results: &Results) -> Found {
    let step = results.nothing("journal", 100_000)?;
    let rate = step.cell("journal")?.rate()?.median;
    let found = format!("{} runs/s, every run in the history", thousands(rate));
    Some((found, rate >= 20_000.0))
}

fn growth(results: &Results) -> Found {
    let micros = |runs| {
        // Where several have it, the first is the one with several rounds.
        let step = results.0.iter().find(|step| {
            step.measure == Measure::Nothing { runs } && step.cell("pool").is_some()
        })?;
        Some(1e6 / step.cell("pool")?.rate()?.median)
    };
    let (few, many) = (micros(10_000)?, micros(1_000_000)?);
    let found = format!(
        "{} µs, at 10,000 {} µs: {:+.0} %",
        short(many),
        short(few),
        (many / few - 1.0) * 100.0
    );
    Some((found, many <= few * 1.10))
}

fn peak(results: &Results, measure: Measure, most: f64) -> Found {
    // The last has a process of its own.
    let step = results.step("pool", |it| it == measure)?;
    let peak = step.cell("pool")?.peak_bytes()? as f64 / MIB;
    Some((format!("{peak:.0} MiB"), peak <= most))
}

fn call(results: &Results) -> Goal {
    let (what, goal) =
        ("`sandmill call`, warm cache, whole process", "≤ 3 times `wasmtime run`, precompiled");
    let step = results.step("call", |it| matches!(it, Measure::Start { cold: false, .. }));
    let times = |against| Some(1.0 / step?.ratio("call", against, Reading::rate)?.median);
    if let Some(times) = times("wasmtime") {
        return Goal::new(what, goal, Some((format!("{times:.2} times"), times <= 3.0)));
    }
    match times("start") {
        // `wasmtime run` has to do at least what the bare process does.
        Some(times) if times <= 3.0 => {
            Goal::new(what, goal, Some((format!("{times:.2} times the bare process"), true)))
        }
        Some(times) => {
            let found = format!("no `wasmtime` here; {times:.2} times the bare process");
            Goal { found, ..Goal::new(what, goal, None) }
        }
        None => Goal::new(what, goal, None),
    }
}

/// Shorter maps than the goal's say how it is, but not whether the goal is reached.
const PEER_RUNS: u64 = 10_000;

fn against(
    results: &Results,
    (what, goal): (&'static str, &'static str),
    peer: &str,
    least: f64,
) -> Goal {
    let found = || {
        let step = results.longest(peer, "pool")?;
        let times = step.ratio("pool", peer, Reading::rate)?.median;
        let runs = step.cell(peer)?.readings.iter().flatten().map(|reading| reading.runs).max()?;
        Some((times, runs))
    };
    let Some((times, runs)) = found() else { return Goal::new(what, goal, None) };
    let words = format!("{} times ({} runs)", short(times), thousands(runs as f64));
    if runs < PEER_RUNS {
        return Goal { found: words, ..Goal::new(what, goal, None) };
    }
    Goal::new(what, goal, Some((words, times >= least)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Cell, StepResults};

    fn step(measure: Measure, seconds: &[(&'static str, f64)]) -> StepResults {
        let cell = |&(subject, seconds): &(&'static str, f64)| {
            let (runs, cpu_seconds, peak_bytes) = (measure.runs(), seconds, 200 << 20);
            let reading = Reading { runs, seconds, cpu_seconds, peak_bytes, latency: None };
            Cell { subject, readings: vec![Some(reading)], why: None }
        };
        let cells = seconds.iter().map(cell).collect();
        StepResults { title: "t".to_owned(), measure, rounds: 1, cells }
    }

    fn verdict(results: &Results, what: &str) -> Verdict {
        let goals = goals(results, 2);
        goals.iter().find(|goal| goal.what.contains(what)).unwrap().verdict
    }

    #[test]
    fn goals_are_reached_by_what_was_measured_and_by_nothing_else() {
        let nothing = Results::default();
        assert!(goals(&nothing, 2).iter().all(|goal| goal.verdict == Verdict::NotMeasured));

        let million = Measure::Nothing { runs: 1_000_000 };
        let results = Results(vec![
            step(Measure::Nothing { runs: 10_000 }, &[("bare", 0.1), ("pool", 0.12)]),
            step(Measure::Nothing { runs: 100_000 }, &[("journal", 4.0)]),
            step(million, &[("bare", 10.0), ("pool", 10.5), ("remote-1", 14.0)]),
            step(Measure::Start { runs: 5, cold: false }, &[("start", 1.0), ("call", 4.0)]),
        ]);
        assert_eq!(verdict(&results, "`pool`, no-op map"), Verdict::Reached);
        assert_eq!(verdict(&results, "one local worker"), Verdict::Reached);
        assert_eq!(verdict(&results, "journaled flow"), Verdict::Reached);
        assert_eq!(verdict(&results, "cost of one"), Verdict::Reached);
        assert_eq!(verdict(&results, "results streamed"), Verdict::Missed);
        assert_eq!(verdict(&results, "results held"), Verdict::NotMeasured);
        // Four times the bare process says nothing about four times `wasmtime run`.
        assert_eq!(verdict(&results, "`sandmill call`"), Verdict::NotMeasured);
    }
}
