//! What is called around a flow, in which order, and what becomes of it in every combination.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::history::History;
use crate::support::{Bench, ScriptedInvoker, failure, value};
use sandmill_core::{EventKind, LogSource, StateType};
use sandmill_flow::{FlowRunFuture, HOOK_EXIT, HOOK_FAILED, HOOK_START};
use sandmill_store::Recorded;
use sandmill_wire::{End, EndKind, Outcome};
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// `merge` gives its arguments back, `fail` fails, `slow` goes on until it is stopped, `farewell`
/// gives what it is told of the flow.
fn tasks() -> Arc<ScriptedInvoker> {
    ScriptedInvoker::new(|attempt, arguments| match &*attempt.call.task {
        "fail" => failure("on purpose"),
        "slow" => {
            while !attempt.cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Outcome::Ended(End::new(EndKind::Cancelled, "stopped"))
        }
        _ => value(arguments.clone()),
    })
}

fn with_hooks(start: &str, task: &str, exit: &str) -> String {
    format!(
        "tasks.a = {{ call = 't.{task}' }}
         [flow]\nname = 'hooked'\nresult = 'a.result'\n{start}\n{exit}"
    )
}

fn hooked(start: &str, task: &str, exit: &str) -> Arc<sandmill_flow::Plan> {
    let text = format!("components.t.path = 't.wasm'\n{}", with_hooks(start, task, exit));
    crate::support::check(&text, &crate::support::given(&[]))
        .unwrap_or_else(|faults| panic!("{faults}"))
}

/// What is written to a file line by line, by commands.
fn lines(path: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn hooks(future: &FlowRunFuture) -> Vec<String> {
    let report = future.report();
    report.hooks.iter().map(|hook| format!("{} {}", hook.hook, hook.state.name)).collect()
}

#[test]
fn hooks_that_are_tasks_come_first_and_last_in_every_combination() {
    for case in 0..8 {
        let end = |bit: u8| if case & bit == 0 { "merge" } else { "fail" };
        let (start, task, exit) = (end(1), end(2), end(4));
        let invoker = tasks();
        let (bench, history) = (Bench::pool(Arc::clone(&invoker), 2), History::new());
        let plan = hooked(
            &format!("on_start.call = 't.{start}'"),
            task,
            &format!("on_exit.call = 't.{exit}'"),
        );
        let future = bench.start_new(&history, plan);
        let state = future.wait(PATIENCE);
        let started = invoker.started();
        let case = format!("{start} {task} {exit}");
        let word = |end: &str| if end == "merge" { "Completed" } else { "Failed" };
        assert_eq!(
            hooks(&future),
            [format!("on_start {}", word(start)), format!("on_exit {}", word(exit))],
            "{case}"
        );
        if start == "fail" {
            assert_eq!(started, ["on_start", "on_exit"], "{case}");
            assert_eq!(state.kind, StateType::Failed);
            let message = state.message.clone().unwrap();
            assert!(message.starts_with(HOOK_FAILED), "{message}");
            assert!(message.contains("`on_start`") && message.contains("on purpose"), "{message}");
        } else {
            assert_eq!(started, ["on_start", "a", "on_exit"], "{case}");
            // What becomes of the hook on exit changes nothing.
            let expected = if task == "merge" { StateType::Completed } else { StateType::Failed };
            assert_eq!(state.kind, expected, "{case}");
        }
        // Everything is in the history.
        let reader = history.reader();
        let recorded = reader.flow(future.id()).unwrap().unwrap();
        assert_eq!((recorded.state.kind, recorded.state.name), (state.kind, state.name), "{case}");
        let runs = reader.runs(future.id(), &Default::default()).unwrap();
        for (stage, end) in [(HOOK_START, start), (HOOK_EXIT, exit)] {
            let run = runs.iter().find(|run| run.key.stage == stage).unwrap();
            assert_eq!(run.state.name, word(end), "{case}");
        }
    }
}

#[test]
fn a_hook_of_a_task_gets_the_facts_of_the_flow() {
    let (bench, history) = (Bench::inline(tasks()), History::new());
    let hook = |name: &str| format!("{name} = {{ call = 't.farewell', arguments.word = 'hi' }}");
    let plan = hooked(&hook("on_start"), "fail", &hook("on_exit"));
    let future = bench.start_new(&history, plan);
    let state = future.wait(PATIENCE);
    let message = state.message.clone().unwrap();
    let told = |stage: u32| {
        let key = sandmill_store::RunKey { stage, index: None };
        let outcome = history.reader().outcome(future.id(), key).unwrap().unwrap();
        let json = outcome.value().expect("it gives its arguments back").to_json_string();
        serde_json::from_str::<serde_json::Value>(&json).unwrap()
    };
    let facts = |state: &str, name: &str, message: serde_json::Value| {
        json!({ "word": "hi", "flow": { "name": "hooked", "run": future.id().to_string(),
                "state": state, "state_name": name, "message": message } })
    };
    assert_eq!(told(HOOK_START), facts("running", "Running", json!(null)));
    assert_eq!(told(HOOK_EXIT), facts("failed", "Failed", json!(&*message)));
}

#[test]
fn a_command_gets_the_facts_and_its_output_goes_to_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("facts");
    let script = format!(
        "echo to the log; echo and this >&2; (cat; echo $SANDMILL_RUN_ID $SANDMILL_FLOW \
         $SANDMILL_STATE $SANDMILL_STATE_NAME; echo \"$SANDMILL_MESSAGE\") > {}",
        file.display()
    );
    let exit = format!("on_exit.command = ['sh', '-c', '''{script}''']");
    let bench = Bench::inline(tasks());
    let future = bench.start(hooked("", "fail", &exit));
    let state = future.wait(PATIENCE);
    let told = lines(&file);
    let json: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
    let message = state.message.clone().unwrap();
    assert_eq!(
        json,
        json!({ "name": "hooked", "run": future.id().to_string(), "state": "failed",
                "state_name": "Failed", "message": &*message })
    );
    assert_eq!(told[1], format!("{} hooked failed Failed", future.id()));
    assert_eq!(told[2], *message);
    let mut logged: Vec<(LogSource, String)> = bench
        .log
        .events()
        .iter()
        .filter(|event| event.run == future.id())
        .filter_map(|event| match &event.kind {
            EventKind::Log(line) => Some((line.source, line.message.clone())),
            _ => None,
        })
        .collect();
    logged.sort_by_key(|(source, _)| *source == LogSource::Stderr);
    assert_eq!(
        logged,
        [(LogSource::Stdout, "to the log".to_owned()), (LogSource::Stderr, "and this".to_owned())]
    );
}

#[test]
fn a_command_that_fails_or_cannot_be_had_is_told_of() {
    for (command, words) in [
        ("['sh', '-c', 'exit 3']", "exit status: 3"),
        ("['/no/such/program']", "could not be started"),
        ("['sh', '-c', 'kill -9 $$']", "signal: 9"),
    ] {
        let bench = Bench::inline(tasks());
        let future = bench.start(hooked("", "merge", &format!("on_exit.command = {command}")));
        assert_eq!(future.wait(PATIENCE).kind, StateType::Completed);
        let hook = future.report().hooks[0].clone();
        assert_eq!(hook.state.kind, StateType::Failed, "{}", hook.state);
        assert!(hook.state.to_string().contains(words), "{}", hook.state);
    }
}

#[test]
fn a_hook_that_takes_too_long_is_killed_with_all_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("alive");
    let script = format!("(sleep 3; echo alive > {}) & sleep 600", file.display());
    let exit = format!("on_exit = {{ command = ['sh', '-c', '''{script}'''], timeout = '300ms' }}");
    let bench = Bench::inline(tasks());
    let started = Instant::now();
    let future = bench.start(hooked("", "merge", &exit));
    assert_eq!(future.wait(PATIENCE).kind, StateType::Completed);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(hooks(&future), ["on_exit TimedOut"]);
    std::thread::sleep(Duration::from_secs(4));
    assert!(!file.exists(), "what the hook had started went on");
    // A task is stopped too.
    let bench = Bench::pool(tasks(), 1);
    let future =
        bench.start(hooked("on_start = { call = 't.slow', timeout = '200ms' }", "merge", ""));
    assert_eq!(future.wait(PATIENCE).kind, StateType::Failed);
    assert_eq!(hooks(&future), ["on_start TimedOut"]);
    assert!(future.report().stages[0].ended.is_empty());
}

#[test]
fn what_a_hook_leaves_behind_ends_with_it_and_its_output_is_bounded() {
    let script = "sleep 600 & head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; echo done >&2";
    let exit = format!("on_exit.command = ['sh', '-c', '''{script}''']");
    let bench = Bench::inline(tasks());
    let started = Instant::now();
    let future = bench.start(hooked("", "merge", &exit));
    assert_eq!(future.wait(PATIENCE).kind, StateType::Completed);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(hooks(&future), ["on_exit Completed"]);
    let events = bench.log.events();
    let lines = events.iter().filter_map(|event| match &event.kind {
        EventKind::Log(line) => Some(line),
        _ => None,
    });
    let (host, own): (Vec<_>, Vec<_>) = lines.partition(|line| line.source == LogSource::Host);
    assert!(!host.is_empty() && host.iter().all(|line| line.message.contains("left out")));
    let bytes: usize = own.iter().map(|line| line.message.len()).sum();
    assert!(bytes > 900_000 && bytes <= sandmill_flow::MAX_HOOK_OUTPUT, "{bytes}");
    assert!(own.iter().all(|line| line.message.len() <= sandmill_flow::MAX_HOOK_LINE));
}

#[test]
fn on_exit_is_called_after_a_cancel_and_stopped_by_the_second() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state");
    let exit = format!(
        "on_exit.command = ['sh', '-c', '''echo $SANDMILL_STATE >> {}; sleep 600''']",
        file.display()
    );
    let bench = Bench::pool(tasks(), 1);
    let future = bench.start(hooked("", "slow", &exit));
    while future.report().stages[0].running == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    future.cancel();
    while lines(&file).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(lines(&file), ["cancelled"]);
    assert!(!future.is_done());
    future.cancel();
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    assert_eq!(hooks(&future), ["on_exit Cancelled"]);
}

#[test]
fn a_flow_that_is_cancelled_or_out_of_time_while_it_begins_calls_no_task() {
    for timeout in [true, false] {
        let invoker = tasks();
        let bench = Bench::pool(Arc::clone(&invoker), 1);
        let head = if timeout { "timeout = '200ms'\n" } else { "" };
        let start = format!("{head}on_start.command = ['sleep', '600']");
        let future = bench.start(hooked(&start, "merge", "on_exit.call = 't.merge'"));
        if !timeout {
            std::thread::sleep(Duration::from_millis(100));
            future.cancel();
        }
        let state = future.wait(PATIENCE);
        let expected = if timeout { "TimedOut" } else { "Cancelled" };
        assert_eq!(state.name, expected, "{state}");
        assert_eq!(invoker.started(), ["on_exit"]);
    }
}

#[test]
fn hooks_are_called_once_over_all_the_times_that_a_flow_is_taken_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("calls");
    let say = |word: &str, then: &str| {
        format!("command = ['sh', '-c', '''echo {word} >> {}; {then}''']", file.display())
    };
    let start = format!("on_start.{}", say("start", ""));
    let (bench, history) = (Bench::pool(tasks(), 1), History::new());
    let plan = |exit: &str| hooked(&start, "slow", &format!("on_exit.{}", say("exit", exit)));
    // Interrupted in the task: the hook on exit is for the end.
    let future = bench.start_new(&history, plan("sleep 600"));
    while future.report().stages[0].running == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    future.interrupt("for later");
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    assert_eq!(lines(&file), ["start"]);
    // Interrupted in the hook on exit: that it was called is not the end of it.
    let future = bench.resume(&history, future.id(), plan("sleep 600"));
    while future.report().stages[0].running == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    future.cancel();
    while lines(&file).len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    future.interrupt("for later");
    let state = future.wait(PATIENCE);
    assert_eq!(state.message.as_deref(), Some("interrupted; for later"));
    let recorded = history.reader().flow(future.id()).unwrap().unwrap();
    assert_eq!(recorded.state.kind, StateType::Paused, "{}", recorded.state);
    assert!(matches!(
        history.recorded(future.id(), HOOK_EXIT, None),
        Some(Recorded::Unfinished { .. })
    ));
    // It ends as it was to end, and the hook is called again.
    let future = bench.resume(&history, future.id(), plan("true"));
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    assert_eq!(lines(&file), ["start", "exit", "exit"]);
    assert_eq!(hooks(&future), ["on_exit Completed"]);
}
