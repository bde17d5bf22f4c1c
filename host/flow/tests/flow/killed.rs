//! Flows whose process is killed: at random moments, and at every named point of the store. What
//! was written down as ended is not called again, and the flow comes to the same bytes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::history::{create, open};
use crate::support::{Bench, ScriptedInvoker, failure, plan, value};
use sandmill_core::{Clock, StateType};
use sandmill_flow::{FlowRunFuture, StartOptions};
use sandmill_store::{Reader, StoreError, failpoint};
use sandmill_wire::RunId;
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// Where the child works; unset in the test's own process.
const DIRECTORY: &str = "SANDMILL_TEST_DIRECTORY";
/// The flow's run.
const RUN: &str = "SANDMILL_TEST_RUN";

const TASKS: &str =
    "tasks.a = { call = 't.list', arguments.of = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] }
     tasks.b = { call = 't.fail', arguments.x = { map = 'a.result' } }
     tasks.c = { call = 't.work', arguments.x = { map = 'a.result' } }
     tasks.d = { call = 't.work', arguments.x = { map = 'c.result' } }
     tasks.e = { call = 't.merge', arguments.all = { from = 'd.result' } }
     flow.result = 'e.result'";
const RESULT: &str = r#"{"all":[4,8,12,16,20,24,28,32,36,40,44,48]}"#;
const RUNS: usize = 38;

/// Appends a line to a file, in one write.
fn say(path: &Path, line: &str) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())).expect("it is told");
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Runs the flow, or takes it up. Writes the name of each run to a file as it ends, before anybody
/// else knows of it.
fn run(directory: &Path, run: RunId) -> FlowRunFuture {
    let ends = directory.join("ends");
    let invoker = ScriptedInvoker::new(move |attempt, arguments| {
        std::thread::sleep(Duration::from_micros(500));
        let outcome = match &*attempt.call.task {
            "list" => value(arguments["of"].clone()),
            "work" => value(json!(arguments["x"].as_i64().unwrap_or(0) * 2)),
            "fail" if arguments["x"].as_i64().is_none_or(|x| x % 2 == 1) => failure("on purpose"),
            _ => value(arguments.clone()),
        };
        say(&ends, &attempt.call.run_name());
        outcome
    });
    let store = open(&directory.join("data"));
    let journal = match store.take_up(run, Clock::system().now()) {
        Err(StoreError::NoSuchFlow { .. }) => create(&store, run, None),
        journal => journal.expect("the flow can be taken up"),
    };
    let bench = Bench::pool(invoker, 3);
    let options = StartOptions { journal: Some(journal), ..StartOptions::default() };
    let future = bench.runner().start_with(plan(TASKS), options);
    future.wait(PATIENCE);
    future
}

/// Not a test of its own, but what the others start as a process.
#[test]
fn a_process_that_may_be_killed() {
    let (Ok(directory), Ok(id)) = (std::env::var(DIRECTORY), std::env::var(RUN)) else { return };
    let directory = PathBuf::from(directory);
    let future = run(&directory, id.parse().expect("an id"));
    let result = future.result(Some(Duration::ZERO)).unwrap_or_else(|error| panic!("{error}"));
    say(&directory.join("result"), &result.to_json_string());
}

struct Scene {
    directory: tempfile::TempDir,
    run: RunId,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), run: RunId::new() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn spawn(&self, point: Option<&str>) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["killed::a_process_that_may_be_killed", "--exact", "--nocapture"])
            .env(DIRECTORY, self.directory.path())
            .env(RUN, self.run.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(point) = point {
            command.env(failpoint::VARIABLE, point);
        }
        command.spawn().expect("the process starts")
    }

    /// The runs that are written down as ended.
    fn ended(&self) -> BTreeSet<String> {
        // As whoever comes next would find it: opened for writing, and closed.
        drop(open(&self.file("data")));
        let reader = Reader::open(&self.file("data")).unwrap();
        let Ok(stages) = reader.stages(self.run) else { return BTreeSet::new() };
        let runs = reader.runs(self.run, &Default::default()).unwrap();
        let ended = runs.iter().filter(|run| run.state.is_final());
        ended
            .map(|run| {
                let stage = stages.iter().find(|of| of.stage.stage == run.key.stage).unwrap();
                let name = &stage.stage.name;
                match run.key.index {
                    Some(index) => format!("{name}[{index}]"),
                    None => name.to_string(),
                }
            })
            .collect()
    }

    /// What was called since there were `before` lines.
    fn since(&self, before: usize) -> BTreeSet<String> {
        lines(&self.file("ends")).into_iter().skip(before).collect()
    }

    /// Lets the flow come to its end, and looks at everything.
    fn finish(&self, case: &str) {
        let (before, ended) = (lines(&self.file("ends")).len(), self.ended());
        if !self.is_done() {
            let output = self.spawn(None).wait_with_output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{case}: {errors}");
        }
        let again = self.since(before);
        let twice: Vec<_> = again.intersection(&ended).collect();
        assert!(twice.is_empty(), "{case}: called again: {twice:?}");
        assert_eq!(lines(&self.file("result")), [RESULT], "{case}");
        assert_eq!(self.ended().len(), RUNS, "{case}");
        let reader = Reader::open(&self.file("data")).unwrap();
        let flow = reader.flow(self.run).unwrap().unwrap();
        assert_eq!(flow.state.kind, StateType::Completed, "{case}");
        let all: BTreeSet<String> = self.since(0);
        assert_eq!(all.len(), RUNS, "{case}");
    }

    /// Whether the flow has ended, in the history.
    fn is_done(&self) -> bool {
        drop(open(&self.file("data")));
        let reader = Reader::open(&self.file("data")).unwrap();
        let flow = reader.flow(self.run).unwrap();
        let done = flow.is_some_and(|flow| flow.state.is_final());
        if done && lines(&self.file("result")).is_empty() {
            // It was killed between its end and the telling of it.
            let outcome = reader.flow_outcome(self.run).unwrap().unwrap();
            say(&self.file("result"), &outcome.value().unwrap().to_json_string());
        }
        done
    }
}

#[test]
fn a_flow_that_is_killed_at_any_time_comes_to_the_same() {
    // A little generator is enough: the moments are never the same anyway.
    let mut random = Arc::as_ptr(&Arc::new(0)) as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let begun = Instant::now();
    let mut kills = 0;
    for _ in 0..12 {
        let scene = Scene::new();
        for _ in 0..6 {
            let (before, ended) = match scene.file("data").exists() {
                true => (lines(&scene.file("ends")).len(), scene.ended()),
                false => (0, BTreeSet::new()),
            };
            let mut child = scene.spawn(None);
            std::thread::sleep(Duration::from_millis(next(60)));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            let again = scene.since(before);
            let twice: Vec<_> = again.intersection(&ended).collect();
            assert!(twice.is_empty(), "called again: {twice:?}");
            kills += usize::from(!status.success());
            if status.success() || scene.file("data").exists() && scene.is_done() {
                break;
            }
        }
        scene.finish("killed at random");
    }
    assert!(kills > 0, "nothing was killed in {:?}", begun.elapsed());
}

#[test]
fn a_flow_that_is_killed_at_a_named_point_comes_to_the_same() {
    let mut reached = BTreeSet::new();
    for point in failpoint::POINTS {
        for hit in [1, 2, 7] {
            let scene = Scene::new();
            let case = format!("{point}=kill@{hit}");
            let status = scene.spawn(Some(&case)).wait().unwrap();
            if !status.success() {
                reached.insert(*point);
                // Killed there again while it is taken up, or recovered.
                scene.spawn(Some(&format!("{point}=kill"))).wait().unwrap();
            }
            if !scene.is_done() {
                // Recovery itself is cut short, too.
                scene.spawn(Some("recovery-runs-written=kill")).wait().unwrap();
            }
            scene.finish(&case);
        }
    }
    for point in ["flow-created", "batch-begun", "batch-written", "batch-committed", "flow-ended"] {
        assert!(reached.contains(point), "{point} was never reached: {reached:?}");
    }
}
