//! Goes through the plan: every subject of a step in turn, round by round, so that what disturbs the
//! machine disturbs all of them alike.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::measure::Measure;
use crate::places::Places;
use crate::plan::{Extent, Phase, SPIN_MICROS, Step};
use crate::results::{Cell, Results, StepResults};
use crate::session::{Closed, OPEN_PATIENCE, Reading, Session};
use crate::subject::{Entry, find};

/// Runs that a subject makes before anything of it is measured.
const WARM_UP: u64 = 200;
/// How long one measurement of a quick plan may take, and of the whole one.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));
/// Steps of the guest's sequence that the machine's speed is found by, in each of so many runs:
/// about a second of CPU.
const CALIBRATION: u64 = 2_000_000;
const CALIBRATION_RUNS: u64 = 400;
/// A subject that has failed so often is not asked any more.
const MAX_FAILURES: u32 = 3;

/// Where the plan stands.
pub(crate) struct Driver<'a> {
    places: &'a Places,
    only: &'a [String],
    open: BTreeMap<&'static str, Session>,
    /// Subjects that are not asked any more, and why.
    pub(crate) out: BTreeMap<&'static str, String>,
    /// What those that were asked are, in their own words.
    pub(crate) asked: BTreeMap<&'static str, String>,
    patience: Duration,
    failures: BTreeMap<&'static str, u32>,
}

impl<'a> Driver<'a> {
    /// Nothing is open yet. With `only`, other subjects are left out, but for what those are held
    /// against.
    pub(crate) fn new(places: &'a Places, only: &'a [String], extent: Extent) -> Self {
        let (open, out, asked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let patience = if extent == Extent::Whole { PATIENCE.1 } else { PATIENCE.0 };
        Self { places, only, open, out, asked, patience, failures: BTreeMap::new() }
    }

    /// Steps of the guest's sequence that take [`SPIN_MICROS`] on this machine, now.
    pub(crate) fn calibrate(&mut self) -> Result<u64> {
        let entry = find("bare-1").ok_or_else(|| anyhow!("there is no bare loop"))?;
        let (rounds, micros) = (CALIBRATION, SPIN_MICROS);
        let measure = Measure::Spin { runs: CALIBRATION_RUNS, rounds, micros };
        let reading = self.session(entry)?.measure(measure, OPEN_PATIENCE)?;
        // By CPU time: what others do on the machine is not the guest's.
        ensure!(reading.cpu_seconds > 0.0, "the machine's speed cannot be found");
        let steps = (CALIBRATION * CALIBRATION_RUNS) as f64 / reading.cpu_seconds;
        Ok((steps * SPIN_MICROS as f64 / 1e6) as u64)
    }

    /// Goes through all phases.
    pub(crate) fn run(&mut self, phases: &[Phase]) -> Results {
        let mut results = Results::default();
        for phase in phases {
            for step in phase {
                results.0.push(self.step(step));
            }
            self.open.clear();
        }
        results
    }

    fn step(&mut self, step: &Step) -> StepResults {
        let entries: Vec<&'static Entry> =
            step.subjects.iter().filter_map(|name| find(name)).collect();
        let wanted = |entry: &Entry| {
            let named = |name: &str| self.only.iter().any(|only| only == name);
            self.only.is_empty()
                || named(entry.name)
                || entries.iter().any(|it| named(it.name) && it.against == entry.name)
        };
        let entries: Vec<&'static Entry> =
            entries.iter().copied().filter(|entry| wanted(entry)).collect();
        let cell = |entry: &&'static Entry| {
            let (subject, readings) = (entry.name, Vec::new());
            Cell { subject, readings, why: self.out.get(entry.name).cloned() }
        };
        let mut cells: Vec<Cell> = entries.iter().map(cell).collect();
        let started = Instant::now();
        if step.fresh {
            self.open.clear();
        }
        for _ in 0..step.rounds {
            for (entry, cell) in entries.iter().zip(&mut cells) {
                let reading = self.measure(entry, step.measure);
                cell.readings.push(reading.as_ref().ok().cloned());
                if let Err(error) = reading {
                    cell.why = Some(format!("{error:#}"));
                }
            }
        }
        if step.fresh {
            self.open.clear();
        }
        tell(&format!("{} ({:.0?})", step.title, started.elapsed()));
        let (title, measure, rounds) = (step.title.clone(), step.measure, step.rounds);
        StepResults { title, measure, rounds, cells }
    }

    fn measure(&mut self, entry: &'static Entry, measure: Measure) -> Result<Reading> {
        if let Some(why) = self.out.get(entry.name) {
            return Err(anyhow!("{why}"));
        }
        let patience = self.patience;
        let reading = self.session(entry)?.measure(measure.at_most(entry.most), patience);
        if let Err(error) = &reading {
            // Whatever state it is in, the next measurement begins with another.
            self.open.remove(entry.name);
            let failures = self.failures.entry(entry.name).or_default();
            *failures += 1;
            if *failures >= MAX_FAILURES {
                self.out.insert(entry.name, format!("failed too often: {error:#}"));
            }
            tell(&format!("`{}` failed: {error:#}", entry.name));
        }
        reading
    }

    fn session(&mut self, entry: &'static Entry) -> Result<&mut Session> {
        if !self.open.contains_key(entry.name) {
            let opened = Session::open(entry, self.places).and_then(|mut session| {
                let measure = Measure::Nothing { runs: WARM_UP }.at_most(entry.most);
                if !matches!(entry.name, "call" | "start" | "wasmtime") {
                    session.measure(measure, OPEN_PATIENCE).map_err(Closed::Failed)?;
                }
                Ok(session)
            });
            match opened {
                Ok(session) => {
                    self.asked.insert(entry.name, session.what.clone());
                    self.open.insert(entry.name, session);
                }
                Err(closed) => {
                    let why = match closed {
                        Closed::Missing(why) => why,
                        Closed::Failed(error) => format!("failed: {error:#}"),
                    };
                    tell(&format!("`{}` is left out: {why}", entry.name));
                    self.out.insert(entry.name, why.clone());
                    return Err(anyhow!(why));
                }
            }
        }
        self.open.get_mut(entry.name).ok_or_else(|| anyhow!("it was opened just now"))
    }
}

#[expect(clippy::print_stderr, reason = "how far it is, for whoever waits")]
fn tell(what: &str) {
    eprintln!("  {what}");
}
