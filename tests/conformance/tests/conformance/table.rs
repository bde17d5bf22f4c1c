//! What a case is, and rows: calls whose whole story has to be the same on every executor.

use std::collections::HashMap;

use parking_lot::Mutex;
use sandmill::core::LogLine;
use sandmill::{CallOptions, EndKind, Outcome};
use sandmill_test_conformance::{Bench, Ran};

/// Runs that have to succeed after each hostile one, on the same executor.
const GOOD_RUNS: i64 = 1_000;

/// One case, to be run on each executor.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn Fn(&Bench) + Send + Sync>,
}

/// A case that is a function.
pub(crate) fn check(name: &'static str, run: fn(&Bench)) -> Case {
    Case { name, run: Box::new(run) }
}

/// A case for each function, named after it.
macro_rules! checks {
    ($($name:ident),* $(,)?) => { vec![$($crate::table::check(stringify!($name), $name)),*] };
}
pub(crate) use checks;

/// One call, and how it ends.
pub(crate) struct Row {
    pub(crate) guest: &'static str,
    pub(crate) task: &'static str,
    pub(crate) arguments: &'static str,
    pub(crate) options: fn(&mut CallOptions),
    pub(crate) expect: Expect,
}

/// How a call ends.
pub(crate) enum Expect {
    /// With this value, in JSON.
    Value(&'static str),
    /// With a failure of this kind, whose message has this in it.
    Failure(&'static str, &'static str),
    /// By the host's word, whose message has this in it.
    End(EndKind, &'static str),
}

impl Expect {
    fn check(&self, ran: &Ran) {
        let state = match self {
            Self::Value(json) => {
                let Outcome::Value(value) = &ran.outcome else {
                    panic!("not a value: {:?}", ran.outcome)
                };
                assert_eq!(value.to_json_string(), *json);
                "Completed"
            }
            Self::Failure(kind, part) => {
                let (found, message) = ran.failure();
                assert_eq!(found, *kind, "{message}");
                assert!(message.contains(part), "`{part}` is not in `{message}`");
                "Failed"
            }
            Self::End(kind, part) => {
                let (found, message) = ran.end();
                assert_eq!(found, *kind, "{message}");
                assert!(message.contains(part), "`{part}` is not in `{message}`");
                state_of(*kind)
            }
        };
        assert_eq!(ran.states, ["Pending", "Running", state]);
    }
}

/// The name of the state that follows from an end.
pub(crate) fn state_of(kind: EndKind) -> &'static str {
    match kind {
        EndKind::Trapped(_) => "Trapped",
        EndKind::TimedOut => "TimedOut",
        EndKind::OutOfMemory => "OutOfMemory",
        EndKind::OutOfFuel => "OutOfFuel",
        EndKind::OutputTooLarge => "OutputTooLarge",
        EndKind::InvalidResult => "InvalidResult",
        EndKind::Cancelled => "Cancelled",
        EndKind::Refused => "Refused",
        other => panic!("no guest can cause {other:?}"),
    }
}

/// All that must not differ from run to run and from executor to executor.
#[derive(Debug, Clone, PartialEq)]
struct Story {
    outcome: Outcome,
    states: Vec<String>,
    lines: Vec<LogLine>,
    peak_memory: u64,
    sizes: (u64, u64),
    fuel: Option<u64>,
    read_context: bool,
}

/// Compares the story of a run to those of the same name before it.
pub(crate) fn same_story(name: &str, ran: &Ran) {
    static STORIES: Mutex<Option<HashMap<String, Story>>> = Mutex::new(None);
    let story = Story {
        outcome: ran.outcome.clone(),
        states: ran.states.clone(),
        lines: ran.lines.clone(),
        peak_memory: ran.usage.peak_memory,
        sizes: (ran.usage.input, ran.usage.output),
        fuel: ran.usage.fuel,
        read_context: ran.usage.read_context,
    };
    let mut stories = STORIES.lock();
    let first =
        stories.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| story.clone());
    assert!(*first == story, "another run told\n{first:#?}\nand this one\n{story:#?}");
}

/// A row as a case: run twice, each time as expected and the same as anywhere else.
pub(crate) fn row(name: &'static str, row: Row) -> Case {
    let run = move |bench: &Bench| {
        for _ in 0..2 {
            let ran = bench.run_with(row.guest, row.task, row.arguments, row.options);
            row.expect.check(&ran);
            same_story(&format!("{}::{name}", row.guest), &ran);
        }
    };
    Case { name, run: Box::new(run) }
}

/// A hostile row as a case: it costs its own run, and many good ones right after it succeed.
pub(crate) fn hostile_row(name: &'static str, hostile: Row) -> Case {
    let inner = row(name, hostile);
    let run = move |bench: &Bench| {
        (inner.run)(bench);
        bench.good_runs(GOOD_RUNS);
    };
    Case { name, run: Box::new(run) }
}

/// After a hostile act of another kind.
pub(crate) fn still_good(bench: &Bench) {
    bench.good_runs(GOOD_RUNS);
}

/// Nothing changed.
pub(crate) fn defaults(_: &mut CallOptions) {}
