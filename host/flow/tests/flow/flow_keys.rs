//! The keys of flow files that say when tasks run, again and at all, what is kept of them, and what
//! is called around the flow: each right and wrong, with its place.

mod header;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{HEAD, given, info};
use sandmill_core::{
    CachePolicy, Component, ComponentInfo, RetryDelay, RetryPolicy, TaskDescriptor,
};
use sandmill_flow::{Amount, ComponentSpec, FlowFile, MapPolicy, Plan, Trigger};
use serde_json::json;

/// The component of the tests, with a task that hooks can call.
fn source(_: &ComponentSpec) -> Result<(Component, Arc<ComponentInfo>), String> {
    let mut info = info();
    info.tasks.push(TaskDescriptor {
        name: "told".to_owned(),
        doc: None,
        parameters: json!({"type": "object", "properties": {
            "flow": {"type": "object"}, "to": {"type": "string"}},
            "required": ["flow", "to"], "additionalProperties": false})
        .to_string(),
        result: "{}".to_owned(),
    });
    Ok((crate::support::component(), Arc::new(info)))
}

fn plan(text: &str) -> Arc<Plan> {
    let text = format!("{HEAD}{text}");
    let file = FlowFile::read(Path::new("/somewhere/flow.toml"), &text);
    file.check(&source, &given(&[])).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The faults of a text below [`HEAD`] (which has two lines), one a line.
fn faults(text: &str) -> Vec<String> {
    let file = FlowFile::read(Path::new("flow.toml"), &format!("{HEAD}{text}"));
    let Err(faults) = file.check(&source, &given(&[])) else { return Vec::new() };
    let line = |fault: &sandmill_flow::Fault| {
        let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}:{}: {}{hint}", fault.line, fault.column, fault.what)
    };
    faults.iter().map(line).collect()
}

/// One task with these keys.
fn task(keys: &str) -> Arc<Plan> {
    plan(&format!("[tasks.a]\ncall = 't.list'\n{keys}"))
}

/// The only fault of one task with these keys, each on a line of its own from line 5.
fn fault(keys: &str) -> String {
    let faults = faults(&format!("[tasks.a]\ncall = 't.list'\n{keys}"));
    assert_eq!(faults.len(), 1, "{keys}: {faults:#?}");
    faults[0].clone()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn retries_are_a_number_or_everything_about_them() {
    let retries = |keys: &str| task(keys).nodes()[0].options().retries.clone();
    assert_eq!(retries(""), RetryPolicy::default());
    assert_eq!(retries("retries = 3"), RetryPolicy::times(3));
    let list = |delays: &[u64]| RetryDelay::List(delays.iter().copied().map(seconds).collect());
    let whole = "retries = { times = 3, delay = ['1s', '5s'], jitter = 0.5, cap = '1m', \
                 on = ['timed-out', 'trapped', 'my-failure-kind', 'failure', 'retriable'], \
                 memory_factor = 2, most_memory = '1GiB' }";
    let names = ["timed-out", "trapped", "my-failure-kind", "failure", "retriable"];
    let expected = RetryPolicy {
        retries: 3,
        delay: list(&[1, 5]),
        jitter: 0.5,
        cap: seconds(60),
        on: Some(names.into_iter().map(str::to_owned).collect()),
        memory_factor: Some(2.0),
        most_memory: 1 << 30,
    };
    assert_eq!(retries(whole), expected);
    assert_eq!(retries(&whole.replace('_', "-")), expected);
    assert_eq!(retries("retries = { times = 1, delay = '2s' }").delay, list(&[2]));
    assert_eq!(
        retries("retries = { times = 1, delay = { base = '1s', factor = 1.5 } }").delay,
        RetryDelay::Exponential { base: seconds(1), factor: 1.5 }
    );
}

#[test]
fn the_retries_of_the_flow_are_those_of_tasks_without_their_own() {
    let plan = plan(
        "flow.retries = { times = 2, delay = '1s' }\ntasks.a.call = 't.list'\n\
         tasks.b = { call = 't.list', retries = 0 }\ntasks.c = { call = 't.list', retries = 5 }",
    );
    let times: Vec<u32> = plan.nodes().iter().map(|node| node.options().retries.retries).collect();
    assert_eq!(times, [2, 0, 5]);
    assert_eq!(plan.nodes()[2].options().retries, RetryPolicy::times(5));
}

#[test]
fn wrong_retries() {
    let many = format!("retries = {{ times = 1, delay = {:?} }}", vec!["1s"; 51]);
    for (keys, expected) in [
        ("retries = '3'", "5:11: `retries` is a number or a table, not a string"),
        ("retries = 1001", "5:11: `retries` is from 0 to 1000, not 1001"),
        ("retries = -1", "5:11: `retries` is from 0 to 1000, not -1"),
        ("retries = 1.5", "5:11: `retries` is a number or a table, not a number"),
        ("retries = {}", "5:11: `retries` has no `times` (write times = 3)"),
        (
            "retries = { times = 1, dely = '1s' }",
            "5:24: unknown key `dely` in `retries` (did you mean `delay`?)",
        ),
        (
            "retries = { times = 1, delay = 5 }",
            "5:32: `delay` is a duration with its unit, in quotes, such as \"10s\", not an integer",
        ),
        (
            "retries = { times = 1, delay = ['1s', '5'] }",
            "5:39: `5` is not a duration: write a number and a unit, such as 500ms, 2s or 5m",
        ),
        ("retries = { times = 1, delay = '8d' }", "5:32: `delay` is at most 168h 0m, not 8d"),
        (many.as_str(), "5:32: `delay` has at most 50 entries, not 51"),
        (
            "retries = { times = 1, delay = { base = '1s' } }",
            "5:32: a delay that grows has `base` and `factor` (write { base = \"1s\", factor = 2 })",
        ),
        (
            "retries = { times = 1, delay = { base = '1s', factor = 0.5 } }",
            "5:56: `factor` is from 1 to 1000, not 0.5",
        ),
        ("retries = { times = 1, jitter = 2 }", "5:33: `jitter` is from 0 to 1, not 2"),
        ("retries = { times = 1, jitter = nan }", "5:33: `jitter` is from 0 to 1, not NaN"),
        ("retries = { times = 1, cap = '1y' }", "5:30: `cap` is at most 168h 0m, not 1y"),
        (
            "retries = { times = 1, on = ['timed-ot'] }",
            "5:30: `timed-ot` is no kind of end (did you mean `timed-out`? A failure's own kind \
             that looks like it needs another name)",
        ),
        (
            "retries = { times = 1, on = ['cancelled'] }",
            "5:30: `cancelled` is no reason for another try (a run that was cancelled, refused or \
             skipped is never tried again)",
        ),
        (
            "retries = { times = 1, on = ['Not Found'] }",
            "5:30: `Not Found` cannot be a failure's kind (use lower-case letters, digits, `.`, \
             `_` and `-`, starting with a letter)",
        ),
        ("retries = { times = 1, on = 'trapped' }", "5:29: `on` is an array, not a string"),
        (
            "retries = { times = 1, memory_factor = 0 }",
            "5:40: `memory_factor` is from 1 to 1000, not 0",
        ),
        (
            "retries = { times = 1, most_memory = '1GiB' }",
            "5:38: `most_memory` goes with `memory_factor` (write memory_factor = 2, or remove it)",
        ),
        (
            "retries = { times = 1, memory_factor = 2, most_memory = 7 }",
            "5:57: `most_memory` is a size with its unit, in quotes, such as \"1GiB\", not an integer",
        ),
    ] {
        assert_eq!(fault(keys), expected);
    }
}

#[test]
fn times_of_attempts_queues_and_the_flow() {
    let plan = plan(
        "flow.timeout = '2h'\n[tasks.a]\ncall = 't.list'\ntimeout = '5s'\nqueue-timeout = '10s'\n\
         [tasks.b]\ncall = 't.list'\nlimits.timeout = '7s'",
    );
    let node = &plan.nodes()[0];
    assert_eq!(node.limits().timeout, seconds(5));
    assert_eq!(node.options().queue_timeout, Some(seconds(10)));
    assert_eq!(plan.nodes()[1].limits().timeout, seconds(7));
    assert_eq!(plan.timeout(), Some(seconds(7_200)));
    for (keys, expected) in [
        (
            "timeout = '5s'\nlimits.timeout = '5s'",
            "5:11: `timeout` and `limits.timeout` are the same (remove one of them)",
        ),
        ("timeout = '0'", "5:11: `timeout` is 0, so that nothing could be done in it"),
        (
            "queue_timeout = 10",
            "5:17: `queue_timeout` is a duration with its unit, in quotes, such as \"10s\", not an \
             integer",
        ),
        ("queue_timeout = '400d'", "5:17: `queue_timeout` is at most 8760h 0m, not 400d"),
        (
            "queue_timeout = '1s'\nqueue-timeout = '1s'",
            "6:1: `queue-timeout` and `queue_timeout` are the same key (remove one of them)",
        ),
    ] {
        assert_eq!(fault(keys), expected);
    }
    assert_eq!(
        faults("flow.timeout = 7\ntasks.a.call = 't.list'"),
        ["3:16: `timeout` is a duration with its unit, in quotes, such as \"10s\", not an integer"]
    );
}

#[test]
fn caches_of_tasks_and_of_the_flow() {
    let cache = |keys: &str| task(keys).nodes()[0].options().cache.clone();
    assert_eq!(cache(""), None);
    assert_eq!(cache("cache = false"), None);
    assert_eq!(cache("cache = true"), Some(CachePolicy::default()));
    let whole =
        CachePolicy { expires: Some(seconds(3_600)), key: Some("v1".into()), refresh: true };
    let text = "cache = { expires = '1h', key = 'v1', refresh = true }";
    assert_eq!(cache(text), Some(whole.clone()));
    // A task with grants is cached only by a key of its own.
    assert_eq!(cache(&format!("{text}\ngrants.clock = true")), Some(whole));
    let plan = plan(
        "flow.cache = { expires = '1h', key = 'x' }\ntasks.a.call = 't.list'\n\
         tasks.b = { call = 't.list', grants.clock = true }\n\
         tasks.c = { call = 't.list', cache = false }\ntasks.d = { call = 't.list', cache = true }",
    );
    let expires: Vec<_> = plan
        .nodes()
        .iter()
        .map(|node| node.options().cache.as_ref().map(|cache| cache.expires))
        .collect();
    assert_eq!(expires, [Some(Some(seconds(3_600))), None, None, Some(None)]);
}

#[test]
fn wrong_caches() {
    let long = format!("cache.key = '{}'", "x".repeat(1_025));
    for (keys, expected) in [
        (
            "cache = true\ngrants = { clock = true, random = true }",
            "5:9: task `a` has grants (clock, random), so its results are cached only with a key: \
             what it reaches may change while its arguments do not (write cache = { key = \"v1\" }, \
             and change the key with what it reaches)",
        ),
        ("cache = 1", "5:9: `cache` is true, false or a table, not an integer"),
        ("cache.expire = '1h'", "5:7: unknown key `expire` in `cache` (did you mean `expires`?)"),
        (
            "cache.expires = 1",
            "5:17: `expires` is a duration with its unit, in quotes, such as \"10s\", not an integer",
        ),
        ("cache.key = ''", "5:13: `key` has from 1 to 1024 bytes, not 0"),
        (long.as_str(), "5:13: `key` has from 1 to 1024 bytes, not 1025"),
        ("cache.refresh = 'yes'", "5:17: `refresh` is true or false, not a string"),
    ] {
        assert_eq!(fault(keys), expected);
    }
    // Grants of the flow are its tasks'.
    let found = faults("grants.random = true\ntasks.a = { call = 't.list', cache = true }");
    assert!(found[0].starts_with("4:38: task `a` has grants (random)"), "{found:?}");
}

/// The flow's task `b` with these keys, after `a`.
fn second(keys: &str) -> Arc<Plan> {
    plan(&format!("tasks.a.call = 't.list'\n[tasks.b]\ncall = 't.work'\nafter = ['a']\n{keys}"))
}

#[test]
fn triggers() {
    let trigger = |text: &str| second(&format!("trigger = {text}")).nodes()[1].trigger();
    for (text, expected) in [
        ("'all-successful'", Trigger::AllSuccessful),
        ("'any-successful'", Trigger::AnySuccessful),
        ("'all-failed'", Trigger::AllFailed),
        ("'any_failed'", Trigger::AnyFailed),
        ("'all-finished'", Trigger::AllFinished),
        (
            "{ some_successful = { at_least = 2, at_most = '50%' } }",
            Trigger::SomeSuccessful {
                at_least: Amount::Count(2),
                at_most: Some(Amount::Part(0.5)),
            },
        ),
        (
            "{ some-successful = { at-least = '12.5%' } }",
            Trigger::SomeSuccessful { at_least: Amount::Part(0.125), at_most: None },
        ),
    ] {
        assert_eq!(trigger(text), expected);
    }
    assert!(second("").nodes()[1].is_skipped_with_upstream());
    assert!(!second("skip-on-upstream-skip = false").nodes()[1].is_skipped_with_upstream());
    let some = "write { some_successful = { at_least = 2, at_most = \"50%\" } }";
    for (text, expected) in [
        (
            "'all-failled'",
            "7:11: unknown trigger `all-failled` (did you mean `all-failed`?)".into(),
        ),
        ("'some-successful'", format!("7:11: unknown trigger `some-successful` ({some})")),
        ("7", "7:11: `trigger` is a name or a table, not an integer".into()),
        ("{}", format!("7:11: the trigger has no `some_successful` ({some})")),
        (
            "{ some_successful = { at_most = 1 } }",
            format!("7:31: `some_successful` has no `at_least` ({some})"),
        ),
        (
            "{ some_successful = { at_least = 3, at_most = 2 } }",
            "7:31: `at_least` is more than `at_most`, so it would never hold".into(),
        ),
        (
            "{ some_successful = { at_least = '101%' } }",
            "7:44: `101%` is no part: `at_least` is a number or a percentage (write 10, or \"5%\")"
                .into(),
        ),
        (
            "{ some_successful = { at_least = -1 } }",
            "7:44: `at_least` is from 0 to 9223372036854775807, not -1".to_owned(),
        ),
    ] {
        let text = format!(
            "tasks.a.call = 't.list'\n[tasks.b]\ncall = 't.work'\nafter = ['a']\ntrigger = {text}"
        );
        assert_eq!(faults(&text), [expected]);
    }
    assert_eq!(
        fault("trigger = 'all-finished'"),
        "5:11: task `a` waits for no other task, so `trigger` says nothing (remove it, or name \
         tasks in `after`)"
    );
    assert_eq!(
        fault("skip_on_upstream_skip = 0"),
        "5:25: `skip_on_upstream_skip` is true or false, not an integer"
    );
}

#[test]
fn what_maps_do_with_failures() {
    let policy = |keys: &str| {
        task(&format!("arguments.x = {{ map = [1] }}\n{keys}")).nodes()[0].map_policy()
    };
    assert_eq!(policy(""), MapPolicy::default());
    assert_eq!(policy("max-failures = 10").max_failures, Some(Amount::Count(10)));
    assert_eq!(policy("max_failures = '5%'").max_failures, Some(Amount::Part(0.05)));
    assert!(policy("fail-fast = true").fail_fast);
    for (keys, expected) in [
        (
            "max_failures = 1",
            "5:16: task `a` maps over nothing, so `max_failures` says nothing (remove it)",
        ),
        (
            "max_failures = 'x'\narguments.x = { map = [1] }",
            "5:16: `x` is no part: `max_failures` is a number or a percentage (write 10, or \"5%\")",
        ),
        (
            "max_failures = 0.5\narguments.x = { map = [1] }",
            "5:16: `max_failures` is a number or a percentage, not a number",
        ),
        (
            "fail-fast = true",
            "5:13: task `a` maps over nothing, so `fail_fast` says nothing (remove it)",
        ),
        ("fail_fast = 1", "5:13: `fail_fast` is true or false, not an integer"),
    ] {
        assert_eq!(fault(keys), expected);
    }
    assert!(plan("flow.fail-fast = true\ntasks.a.call = 't.list'").is_fail_fast());
    assert!(!plan("tasks.a.call = 't.list'").is_fail_fast());
}

#[test]
fn wrong_ways_to_take_errors() {
    let of = |argument: &str| {
        faults(&format!(
            "parameters.p = {{ type = 'array', default = [] }}\ntasks.a.call = 't.list'\n\
             tasks.m = {{ call = 't.list', arguments.x = {{ map = [1] }} }}\n[tasks.b]\n\
             call = 't.work'\narguments.x = {argument}"
        ))
    };
    for right in [
        "{ from = 'a.result', errors = 'skip' }",
        "{ from = 'a.result', errors = 'states' }",
        "{ map = 'a.result', errors = 'skip' }",
        "{ map = 'm.result', errors = 'states' }",
        "{ flatten = 'm.result', errors = 'skip' }",
        "{ unmapped = 'm.result', errors = 'raise' }",
        // Neither of these is a form.
        "{ errors = 'skip' }",
        "{ from = 'a.result', errors = 'skip', more = 1 }",
        "{ literal = { from = 'a.result', errors = 'odd' } }",
    ] {
        assert_eq!(of(right), [""; 0], "{right}");
    }
    let none = "`errors` says what becomes of results, and this takes none (remove it, or take \
                `TASK.result`)";
    for (wrong, expected) in [
        (
            "{ from = 'a.result', errors = 'skipp' }",
            "8:45: unknown way to take errors `skipp` (did you mean `skip`?)".to_owned(),
        ),
        (
            "{ from = 'a.result', errors = true }",
            "8:45: `errors` is a string, not a boolean".to_owned(),
        ),
        ("{ from = 'parameters.p', errors = 'skip' }", format!("8:49: {none}")),
        ("{ map = [1], errors = 'skip' }", format!("8:37: {none}")),
        ("{ literal = 1, errors = 'skip' }", format!("8:39: {none}")),
        (
            "{ flatten = 'm.result', errors = 'states' }",
            "8:48: states are no lists, so they cannot be flattened (write { map = …, errors = \
             \"states\" })"
                .to_owned(),
        ),
        (
            "{ map = 'a.result', errors = 'states' }",
            "8:15: `a` runs once, so the elements of its result have no states (write errors = \
             \"skip\", or take it with `from`)"
                .to_owned(),
        ),
        (
            "{ from = 'a.result', map = 'a.result', errors = 'skip' }",
            "8:15: an argument has one form, not `from` and `map` (for a table with such keys \
             write { literal = { … } })"
                .to_owned(),
        ),
    ] {
        assert_eq!(of(wrong), [expected], "{wrong}");
    }
    // States are maps, whatever the results are.
    assert_eq!(
        faults(
            "tasks.a = { call = 't.count', arguments.name = { map = ['x'] } }\n\
             tasks.b = { call = 't.total', arguments.counts = { from = 'a.result', errors = 'states' } }\n\
             tasks.c = { call = 't.count', arguments.name = { map = 'a.result', errors = 'states' } }\n\
             tasks.d = { call = 't.total', arguments.counts = { from = 'a.result.0', errors = 'states' } }"
        ),
        [
            "5:48: argument `name` of `t.count` takes a string, but each element of the states of \
             `a.result` is an object",
            "6:50: argument `counts` of `t.total` takes an array, but the states of `a.result.0` \
             is an object",
        ]
    );
}

#[test]
fn all_faults_of_the_keys_come_at_once() {
    let found = faults(
        "[flow]\nretries = -1\ncache = 3\nlabels = 4\non_start = {}\n[tasks.a]\ncall = 't.list'\n\
         retries = { times = 'x', jitter = 7 }\ncache = { key = 3 }\ntrigger = 'no'\n\
         max_failures = 'no'\nqueue_timeout = 'no'",
    );
    // The header of the tests has [flow] already, so this one is a fault of syntax.
    let lines: Vec<&str> = found.iter().filter_map(|fault| fault.split(':').next()).collect();
    for line in ["10", "11", "12", "13", "14"] {
        assert!(lines.contains(&line), "no fault in line {line}: {found:#?}");
    }
}

#[test]
fn the_flow_files_of_the_documentation_are_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/flow-files.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut read = 0;
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        // Some show a task alone.
        let head = if block.contains("[flow]") { "" } else { "flow.name = 'x'\n" };
        let tasks = if block.contains("[tasks.") { "" } else { "[tasks.x]\ncall = 'c.x'\n" };
        let whole = format!("{head}{block}{tasks}");
        FlowFile::parse(Path::new("flow-files.md"), &whole)
            .unwrap_or_else(|faults| panic!("{whole}\n{faults}"));
        read += 1;
    }
    assert!(read > 5, "there are no flow files in {}", path.display());
}
