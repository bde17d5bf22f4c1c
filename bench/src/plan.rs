//! What is measured, in which order, and how often. Quick, whole and checking plans differ in
//! numbers of runs and rounds, and in nothing else.

use crate::measure::Measure;

/// CPU time of the runs that take time.
pub(crate) const SPIN_MICROS: u64 = 1_000;
/// Those that can be asked for maps.
const MAPPERS: &[&str] = &[
    "bare-1",
    "bare",
    "sandbox",
    "inline",
    "pool",
    "flow",
    "journal",
    "map",
    "processes",
    "remote-1",
    "remote-2",
    "nats",
];
/// Those that long maps are measured of.
const LONG: &[&str] = &["bare", "pool", "flow", "journal", "map", "remote-1"];
/// Those that maps of any length are made on: a flow maps over a list, which has its bounds.
const LONGEST: &[&str] = &["bare", "pool", "map", "remote-1"];
const SPINNERS: &[&str] =
    &["bare-1", "bare", "inline", "pool", "map", "processes", "remote-1", "remote-2", "nats"];
const ECHOERS: &[&str] = &["bare", "pool", "processes", "remote-1", "nats"];
const ROUND_TRIPS: &[&str] =
    &["bare-1", "sandbox", "inline", "pool", "processes", "remote-1", "nats"];
const FLOWS: &[&str] = &["flow", "journal", "processes", "remote-1", "nats"];
const STARTS: &[&str] = &["start", "call", "wasmtime"];
/// Peers, with what they are held against in the same step.
const PEERS: &[&str] = &["bare", "pool", "process-pool", "dask", "ray", "prefect"];
const PROCESSES: &[&str] = &["start", "wasmtime"];
const PEER_ROUND_TRIPS: &[&str] = &["bare-1", "pool", "process-pool", "dask", "ray", "prefect"];
const PEER_FLOWS: &[&str] = &["flow", "process-pool", "dask", "ray", "prefect"];

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it, for the documentation.
    Whole,
    /// In a minute and a half, for whoever wants to know.
    Quick,
    /// In half a minute, for CI.
    Check,
}

/// One measurement over several subjects, in rounds.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) title: String,
    pub(crate) measure: Measure,
    pub(crate) subjects: &'static [&'static str],
    pub(crate) rounds: u32,
    /// Whether subjects are started for it alone: what they did before is seen in their memory.
    pub(crate) fresh: bool,
}

/// Steps whose subjects run side by side. They end with the phase: some of them use the machine even
/// when they have nothing to do.
pub(crate) type Phase = Vec<Step>;

/// The plan; `rounds` of the guest's sequence take as long as [`SPIN_MICROS`].
pub(crate) fn plan(extent: Extent, rounds: u64) -> Vec<Phase> {
    match extent {
        Extent::Check => vec![check()],
        Extent::Quick | Extent::Whole => {
            let whole = extent == Extent::Whole;
            vec![ours(whole, rounds), memory(whole), peers(whole, rounds)]
        }
    }
}

/// Where the two plans differ.
const fn pick<T: Copy>(whole: bool, in_whole: T, in_quick: T) -> T {
    if whole { in_whole } else { in_quick }
}

fn step(measure: Measure, subjects: &'static [&'static str], rounds: u32) -> Step {
    Step { title: title(measure), measure, subjects, rounds, fresh: false }
}

/// The pool in a process that does nothing else.
fn alone(measure: Measure, rounds: u32) -> Step {
    let title = format!("{}, in a process of its own", title(measure));
    Step { title, fresh: true, ..step(measure, &["pool"], rounds) }
}

fn ours(whole: bool, rounds: u64) -> Phase {
    let few = pick(whole, 5, 3);
    let echo = |runs, bytes| step(Measure::Echo { runs, bytes }, ECHOERS, few);
    let spin = Measure::Spin { runs: pick(whole, 4_000, 300), rounds, micros: SPIN_MICROS };
    let mut steps = vec![
        step(Measure::Nothing { runs: 1_000 }, MAPPERS, few),
        step(Measure::Nothing { runs: 10_000 }, MAPPERS, few),
        step(Measure::Nothing { runs: 100_000 }, pick(whole, MAPPERS, LONG), pick(whole, 3, 1)),
    ];
    if whole {
        steps.push(step(Measure::Nothing { runs: 1_000_000 }, LONGEST, 2));
    }
    steps.extend([
        step(spin, SPINNERS, pick(whole, 5, 2)),
        echo(pick(whole, 10_000, 2_000), 64),
        echo(pick(whole, 10_000, 2_000), 4 << 10),
        echo(pick(whole, 1_000, 100), 1 << 20),
        step(Measure::RoundTrip { runs: pick(whole, 2_000, 300) }, ROUND_TRIPS, few),
        step(Measure::Flow { width: pick(whole, 5_000, 500) }, FLOWS, few),
        step(Measure::Start { runs: pick(whole, 20, 5), cold: false }, STARTS, few),
        step(Measure::Start { runs: pick(whole, 10, 3), cold: true }, &["call"], few),
    ]);
    steps
}

/// Memory is that of processes which have done nothing else.
fn memory(whole: bool) -> Phase {
    let fresh = |measure| alone(measure, 1);
    let runs = pick(whole, 1_000_000, 100_000);
    vec![
        fresh(Measure::Nothing { runs: 10_000 }),
        fresh(Measure::Nothing { runs }),
        fresh(Measure::Hold { runs }),
    ]
}

fn peers(whole: bool, rounds: u64) -> Phase {
    let few = pick(whole, 3, 1);
    let spin = Measure::Spin { runs: pick(whole, 1_000, 100), rounds, micros: SPIN_MICROS };
    let bytes = Measure::Echo { runs: pick(whole, 1_000, 100), bytes: 4 << 10 };
    vec![
        step(Measure::Nothing { runs: pick(whole, 10_000, 500) }, PEERS, pick(whole, 2, 1)),
        step(Measure::Nothing { runs: pick(whole, 500, 50) }, PROCESSES, few),
        step(spin, PEERS, few),
        step(bytes, PEERS, few),
        step(Measure::RoundTrip { runs: pick(whole, 300, 30) }, PEER_ROUND_TRIPS, few),
        step(Measure::Flow { width: pick(whole, 500, 50) }, PEER_FLOWS, few),
    ]
}

/// Runs of the maps whose peaks are compared.
pub(crate) const CHECK_SHORT: u64 = 10_000;
/// The longer one, of calls that must not be queued.
pub(crate) const CHECK_LONG: u64 = 200_000;

fn check() -> Phase {
    let both: &[&str] = &["bare", "pool"];
    let fresh = |runs| alone(Measure::Nothing { runs }, 1);
    vec![step(Measure::Nothing { runs: 20_000 }, both, 5), fresh(CHECK_SHORT), fresh(CHECK_LONG)]
}

fn title(measure: Measure) -> String {
    let count = |runs: u64| crate::table::thousands(runs as f64);
    match measure {
        Measure::Nothing { runs } => format!("no-op map of {}", count(runs)),
        Measure::Hold { runs } => format!("no-op map of {}, all results held", count(runs)),
        Measure::Spin { runs, micros, .. } => {
            format!("map of {}, each {} ms of CPU", count(runs), micros as f64 / 1e3)
        }
        Measure::Echo { runs, bytes } => {
            let size = sandmill::core::units::format_size(bytes);
            format!("map of {}, each {size} in and out", count(runs))
        }
        Measure::RoundTrip { runs } => format!("round trip of a no-op, {} times", count(runs)),
        Measure::Flow { width } => {
            format!("flow of four stages, each mapped over {}", count(width))
        }
        Measure::Start { cold: false, .. } => "a whole process with one run, warm".to_owned(),
        Measure::Start { cold: true, .. } => "the same, nothing compiled yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::find;

    #[test]
    fn plans_name_subjects_that_are_there() {
        for extent in [Extent::Whole, Extent::Quick, Extent::Check] {
            for step in plan(extent, 1).iter().flatten() {
                assert!(step.rounds > 0 && step.measure.runs() > 0, "{step:?}");
                assert!(step.subjects.iter().all(|name| find(name).is_some()), "{step:?}");
            }
        }
    }
}
