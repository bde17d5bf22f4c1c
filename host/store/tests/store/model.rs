//! Whatever is said to a journal, in whatever order and however often the store is opened again:
//! what is kept is what a few lines of plain code say that it is.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sandmill_core::State;
use sandmill_store::{Journal, Recorded, RunEnd, RunKey, Store};
use sandmill_wire::{Outcome, RunId};

use crate::common::{at, attempt, create, end, failed, key, new_flow, open, submit, value};

/// One thing to say or do.
#[derive(Debug, Clone)]
enum Step {
    Submit(u64),
    /// By another id than the one that the key has.
    SubmitAnew(u64),
    Running(u64),
    Attempt(u64, bool),
    End(u64, bool),
    /// An end of a run that the key is not of.
    EndOfAnother(u64),
    Interrupt(u64),
    Journal(u64),
    Sync,
    Reopen,
    LetGo,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let run = 0..6_u64;
    let step = prop_oneof![
        4 => run.clone().prop_map(Step::Submit),
        1 => run.clone().prop_map(Step::SubmitAnew),
        3 => run.clone().prop_map(Step::Running),
        3 => (run.clone(), any::<bool>()).prop_map(|(run, good)| Step::Attempt(run, good)),
        3 => (run.clone(), any::<bool>()).prop_map(|(run, good)| Step::End(run, good)),
        1 => run.clone().prop_map(Step::EndOfAnother),
        1 => run.clone().prop_map(Step::Interrupt),
        2 => (0..6_u64).prop_map(Step::Journal),
        2 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => Just(Step::LetGo),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is expected to be kept of a run.
#[derive(Debug, Clone)]
struct Run {
    id: RunId,
    tried: u32,
    started: u32,
    ended: Option<(Outcome, State)>,
}

#[derive(Default)]
struct Model {
    runs: BTreeMap<u64, Run>,
    steps: BTreeMap<u64, Vec<u8>>,
}

impl Model {
    fn open_run(&mut self, run: u64) -> Option<&mut Run> {
        self.runs.get_mut(&run).filter(|run| run.ended.is_none())
    }
}

struct World {
    dir: tempfile::TempDir,
    store: Option<Store>,
    journal: Option<Journal>,
    flow: RunId,
    clock: u64,
}

const fn place(run: u64) -> RunKey {
    // Two stages, and one run that is not of a map.
    if run == 5 { RunKey { stage: 2, index: None } } else { key((run % 2) as u32, run) }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let journal = create(&store, new_flow("model"));
        let flow = journal.flow();
        Self { dir, store: Some(store), journal: Some(journal), flow, clock: 10 }
    }

    fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    fn let_go(&mut self) {
        self.journal = None;
        let store = self.store.as_ref().unwrap();
        self.journal = Some(store.take_up(self.flow, at(self.clock)).unwrap());
    }

    fn reopen(&mut self) {
        self.journal = None;
        self.store.take().unwrap().close();
        self.store = Some(open(self.dir.path()));
        self.let_go_again();
    }

    fn let_go_again(&mut self) {
        let store = self.store.as_ref().unwrap();
        self.journal = Some(store.take_up(self.flow, at(self.clock)).unwrap());
    }

    fn apply(&mut self, step: &Step, model: &mut Model) {
        self.clock += 1;
        let now = at(self.clock);
        let outcome = |good: bool| {
            if good { Outcome::Value(value(self.clock, 8)) } else { failed("slow") }
        };
        let known = |run: &u64| model.runs.get(run).map(|run| run.id);
        match step {
            Step::Submit(run) | Step::SubmitAnew(run) => {
                let anew = matches!(step, Step::SubmitAnew(_));
                let id = known(run).filter(|_| !anew).unwrap_or_default();
                submit(self.journal(), place(*run), id);
                let fresh = Run { id, tried: 0, started: 0, ended: None };
                let kept = model.runs.entry(*run).or_insert_with(|| fresh.clone());
                if kept.ended.is_none() && kept.id != id {
                    *kept = fresh;
                }
            }
            Step::Running(run) => {
                let Some(id) = known(run) else { return };
                self.journal().state(place(*run), id, &State::running(now));
                if let Some(run) = model.open_run(*run) {
                    run.started = run.started.max(run.tried + 1);
                }
            }
            Step::Attempt(run, good) => {
                let Some(id) = known(run) else { return };
                let number = model.runs[run].tried + 1;
                let retry = (!good).then_some(now);
                self.journal().attempt(place(*run), id, &attempt(number, &outcome(*good), retry));
                if let Some(run) = model.open_run(*run) {
                    run.tried = number;
                    run.started = run.started.max(number);
                }
            }
            Step::End(run, good) => {
                let Some(id) = known(run) else { return };
                let outcome = outcome(*good);
                let attempts = model.runs[run].tried;
                let ending = RunEnd { attempts, ..end(now, outcome.clone()) };
                let state = ending.state.clone();
                self.journal().ended(place(*run), id, ending);
                if let Some(run) = model.open_run(*run) {
                    run.started = run.tried;
                    run.ended = Some((outcome, state));
                }
            }
            Step::EndOfAnother(run) if model.runs.contains_key(run) => {
                self.journal().ended(place(*run), RunId::new(), end(now, failed("another")));
            }
            Step::EndOfAnother(_) => {}
            Step::Interrupt(run) => {
                let Some(id) = known(run) else { return };
                self.journal().interrupted(place(*run), id, now, "asked");
            }
            Step::Journal(seq) => {
                let body = vec![u8::try_from(self.clock % 251).unwrap(); 4];
                self.journal().step(*seq, body.clone());
                model.steps.entry(*seq).or_insert(body);
            }
            Step::Sync => self.journal().sync(None).unwrap(),
            Step::Reopen => self.reopen(),
            Step::LetGo => self.let_go(),
        }
    }

    fn compare(&mut self, model: &Model) {
        self.reopen();
        for run in 0..6 {
            let recorded = self.journal().recorded(place(run)).unwrap();
            let expected = model.runs.get(&run).map(|kept| match &kept.ended {
                Some((outcome, _)) => {
                    Recorded::Ended { run: kept.id, arguments: [7; 16], outcome: outcome.clone() }
                }
                None => Recorded::Unfinished { run: kept.id, attempts: kept.tried },
            });
            assert_eq!(recorded, expected, "run {run}");
        }
        let steps: Vec<(u64, Vec<u8>)> = model.steps.clone().into_iter().collect();
        assert_eq!(self.journal().steps(0, 100).unwrap(), steps);
        self.compare_counts(model);
    }

    /// The counts of the stages are those of their runs.
    fn compare_counts(&self, model: &Model) {
        let sql = crate::common::sql(self.dir.path());
        let sum = |columns: &str| -> u64 {
            let sql_text = format!("SELECT coalesce(sum({columns}), 0) FROM stages");
            let sum: i64 = sql.query_row(&sql_text, [], |row| row.get(0)).unwrap();
            sum.cast_unsigned()
        };
        let runs = || model.runs.values();
        let ended = |name: &str| {
            runs().filter(|run| run.ended.as_ref().is_some_and(|(_, s)| s.name == name)).count()
        };
        assert_eq!(sum("completed"), ended("Completed") as u64);
        assert_eq!(sum("failed"), ended("TimedOut") as u64);
        assert_eq!(sum("paused"), runs().filter(|run| run.ended.is_none()).count() as u64);
        assert_eq!(sum("scheduled + pending + running + crashed + cancelled + cancelling"), 0);
        let retried = runs().map(|run| u64::from(run.started.saturating_sub(1))).sum::<u64>();
        assert_eq!(sum("retried"), retried);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn what_is_kept_is_what_was_said(steps in steps()) {
        let (mut world, mut model) = (World::new(), Model::default());
        for step in &steps {
            world.apply(step, &mut model);
        }
        world.compare(&model);
    }
}
