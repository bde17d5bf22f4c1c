//! What triggers, skips, ways to take errors and the ends of maps come to, in words and values. That
//! they hold in every flow is the oracle's to say.

use std::collections::BTreeMap;

use crate::support::plan;
use sandmill_core::{State, Timestamp};
use sandmill_flow::{Blame, Cause, Conclusion, Ended, Schedule, Step};
use sandmill_wire::{EndKind, Outcome, RunId, Value};
use serde_json::{Value as Json, json};

/// What became of a flow: each run by name, as its arguments or why it did not run.
struct Played {
    told: BTreeMap<String, String>,
    conclusion: Conclusion,
}

impl Played {
    fn said(&self, run: &str) -> &str {
        self.told.get(run).map_or("never", String::as_str)
    }

    fn value(&self) -> Json {
        match &self.conclusion {
            Conclusion::Value(value) => serde_json::from_str(&value.to_json_string()).unwrap(),
            Conclusion::Failed(failure) => panic!("{failure}"),
        }
    }

    fn failure(&self) -> String {
        match &self.conclusion {
            Conclusion::Value(value) => panic!("{}", value.to_json_string()),
            Conclusion::Failed(failure) => failure.message.clone(),
        }
    }
}

const RUN: &str = "0198b1e0-0000-7000-8000-000000000001";

/// Plays a flow. What a run comes to is by its name: `fails`, `skips`, or else this value.
fn play(text: &str, ends: &dyn Fn(&str) -> Json) -> Played {
    let plan = plan(text);
    let mut schedule = Schedule::new(plan.clone());
    let mut told = BTreeMap::new();
    let run: RunId = RUN.parse().unwrap();
    while let Some(step) = schedule.next_step() {
        let name = |node: usize, index: Option<u64>| {
            let name = plan.nodes()[node].name();
            index.map_or_else(|| name.to_string(), |index| format!("{name}[{index}]"))
        };
        match step {
            Step::Mapped { .. } => {}
            Step::Cancel { node, index } => {
                told.insert(format!("cancel {}", name(node, index)), String::new());
            }
            Step::End { node, index, cause } => {
                let outcome = match cause.outcome() {
                    Outcome::Ended(end) => format!("{}: {}", end.kind, end.message),
                    other => format!("{other:?}"),
                };
                let before = told.insert(name(node, index), outcome);
                assert!(before.is_none(), "{} ended twice", name(node, index));
            }
            Step::Run { node, index, arguments } => {
                let name = name(node, index);
                told.insert(name.clone(), arguments.to_json_string());
                let ended = match ends(&name) {
                    Json::String(word) if word == "fails" => {
                        let failure = sandmill_wire::Failure::new("broken", "on purpose");
                        let at = Timestamp::from_micros(0);
                        let state = State::from_outcome(&Outcome::Failure(failure), at);
                        Ended::Failed(Blame::new(name.as_str(), Some(run), &state))
                    }
                    Json::String(word) if word == "skips" => Ended::Skipped,
                    value => Ended::Value(Value::from_json_str(&value.to_string()).unwrap()),
                };
                assert!(schedule.on_done(node, index, run, ended));
            }
        }
    }
    assert!(schedule.is_finished());
    Played { told, conclusion: schedule.conclusion() }
}

/// Three tasks that end so, and one after them with this trigger: why it does not run, if so.
fn after_three(ends: [&'static str; 3], trigger: &str) -> String {
    let text = format!(
        "tasks.a.call = 't.list'\ntasks.b.call = 't.list'\ntasks.c.call = 't.list'\n\
         tasks.d = {{ call = 't.work', after = ['a', 'b', 'c'], trigger = {trigger} }}"
    );
    let played = play(&text, &|name| match name {
        "a" => json!(ends[0]),
        "b" => json!(ends[1]),
        "c" => json!(ends[2]),
        _ => json!(1),
    });
    played.said("d").to_owned()
}

/// Source: the triggers of Prefect 0.11 (`prefect.triggers`), where a skipped task succeeded.
#[test]
fn a_trigger_that_does_not_hold_says_what_it_counted() {
    let (ok, fails, skips) = ("ok", "fails", "skips");
    let runs = "{}";
    for (ends, trigger, expected) in [
        ([ok, ok, ok], "'all-successful'", runs),
        ([ok, ok, ok], "'any-successful'", runs),
        ([ok, fails, fails], "'any-successful'", runs),
        ([fails, fails, fails], "'any-successful'", "trigger any-successful: 0 of 3 succeeded"),
        ([fails, fails, fails], "'all-failed'", runs),
        ([fails, ok, fails], "'all-failed'", "trigger all-failed: 1 of 3 succeeded"),
        ([ok, fails, ok], "'any-failed'", runs),
        ([ok, ok, ok], "'any-failed'", "trigger any-failed: 3 of 3 succeeded"),
        ([fails, ok, fails], "'all-finished'", runs),
        ([fails, ok, ok], "{ some_successful = { at_least = 2 } }", runs),
        (
            [fails, ok, fails],
            "{ some_successful = { at_least = 2 } }",
            "trigger some-successful: 1 of 3 succeeded, not 2 or more",
        ),
        (
            [ok, ok, ok],
            "{ some_successful = { at_least = 1, at_most = '70%' } }",
            "trigger some-successful: 3 of 3 succeeded, not 1 to 2",
        ),
        // A part is rounded up.
        ([ok, fails, fails], "{ some_successful = { at_least = '30%' } }", runs),
        (
            [ok, fails, fails],
            "{ some_successful = { at_least = '34%' } }",
            "trigger some-successful: 1 of 3 succeeded, not 2 or more",
        ),
        (
            [ok, skips, ok],
            "'all-successful'",
            "skipped: `b` was skipped; skip_on_upstream_skip = false would let it run",
        ),
        ([fails, skips, ok], "'any-failed', skip_on_upstream_skip = false", runs),
        (
            [skips, ok, ok],
            "'any-failed', skip_on_upstream_skip = false",
            "trigger any-failed: 3 of 3 succeeded",
        ),
        ([skips, ok, ok], "'all-successful', skip_on_upstream_skip = false", runs),
    ] {
        let said = after_three(ends, trigger);
        let said = said.strip_prefix("upstream-failed: ").unwrap_or(&said);
        assert_eq!(said, expected, "{ends:?} {trigger}");
    }
    let said = after_three([ok, fails, ok], "'all-successful'");
    assert_eq!(
        said,
        format!("upstream-failed: it depends on `b` (run {RUN}): Failed: broken: on purpose")
    );
}

#[test]
fn a_mapped_task_counts_with_each_of_its_runs() {
    let text = "tasks.m = { call = 't.list', arguments.x = { map = [0, 1, 2, 3] } }\n\
                tasks.n = { call = 't.work', arguments.x = { map = 'm.result' }, trigger = 'any-failed' }\n\
                tasks.d = { call = 't.work', after = ['m'], trigger = { some_successful = { at_least = '75%' } } }\n\
                tasks.e = { call = 't.work', after = ['m'], trigger = { some_successful = { at_least = 4 } } }";
    let played = play(text, &|name| if name == "m[2]" { json!("fails") } else { json!(7) });
    assert_eq!(played.said("d"), "{}");
    assert_eq!(
        played.said("e"),
        "upstream-failed: trigger some-successful: 3 of 4 succeeded, not 4 or more"
    );
    // Where it maps over it, each run counts its counterpart alone.
    assert_eq!(played.said("n[1]"), "upstream-failed: trigger any-failed: 1 of 1 succeeded");
    assert_eq!(
        played.said("n[2]"),
        format!(
            "upstream-failed: `m.result` is not there, because of `m[2]` (run {RUN}): Failed: \
             broken: on purpose; errors = \"skip\" or \"states\" would let the task run"
        )
    );
}

#[test]
fn a_trigger_lets_a_task_run_but_gives_it_no_result() {
    let text = "tasks.a.call = 't.list'\n\
                tasks.b = { call = 't.work', trigger = 'all-finished', arguments.x = { from = 'a.result' } }\n\
                tasks.c = { call = 't.work', trigger = 'all-finished', after = ['a'] }";
    let played = play(text, &|name| if name == "a" { json!("fails") } else { json!(7) });
    assert_eq!(
        played.said("b"),
        format!(
            "upstream-failed: `a.result` is not there, because of `a` (run {RUN}): Failed: broken: \
             on purpose; errors = \"skip\" or \"states\" would let the task run"
        )
    );
    assert_eq!(played.said("c"), "{}");
}

#[test]
fn partial_results_of_a_map_can_be_used() {
    let of = |argument: &str| {
        let text = format!(
            "tasks.m = {{ call = 't.list', arguments.x = {{ map = [0, 1, 2] }} }}\n\
             tasks.d = {{ call = 't.work', arguments.y = {argument} }}"
        );
        let played = play(&text, &|name| match name {
            "m[0]" => json!({ "n": [5, 6] }),
            "m[1]" => json!("fails"),
            _ => json!({ "n": [] }),
        });
        let runs = played.told.into_iter().filter(|(name, _)| name.starts_with('d'));
        runs.map(|(name, said)| {
            let said = serde_json::from_str::<Json>(&said)
                .map_or_else(|_| said.into(), |json| json["y"].clone());
            (name, said)
        })
        .collect::<Vec<(String, Json)>>()
    };
    let failed = json!({ "state": "failed", "name": "Failed", "message": "broken: on purpose",
                         "run": RUN });
    let completed = |value: Json| {
        json!({ "state": "completed", "name": "Completed", "message": null, "run": RUN,
                "value": value })
    };
    let one = |value: Json| vec![("d".to_owned(), value)];
    let runs = |values: Vec<Json>| -> Vec<(String, Json)> {
        values.into_iter().enumerate().map(|(at, value)| (format!("d[{at}]"), value)).collect()
    };
    assert_eq!(
        of("{ from = 'm.result', errors = 'skip' }"),
        one(json!([{ "n": [5, 6] }, { "n": [] }]))
    );
    assert_eq!(
        of("{ from = 'm.result', errors = 'states' }"),
        one(json!([completed(json!({ "n": [5, 6] })), failed, completed(json!({ "n": [] }))]))
    );
    assert_eq!(of("{ from = 'm.result.1.n', errors = 'skip' }"), one(json!(null)));
    assert_eq!(of("{ from = 'm.result.1.n', errors = 'states' }"), one(failed.clone()));
    assert_eq!(of("{ from = 'm.result.0.n.1', errors = 'states' }"), one(completed(json!(6))));
    assert_eq!(
        of("{ map = 'm.result.n', errors = 'skip' }"),
        runs(vec![
            json!([5, 6]),
            json!("skipped: `m[1]` did not complete, and is left out"),
            json!([])
        ])
    );
    assert_eq!(
        of("{ map = 'm.result.n', errors = 'states' }"),
        runs(vec![completed(json!([5, 6])), failed, completed(json!([]))])
    );
    assert_eq!(of("{ flatten = 'm.result.n', errors = 'skip' }"), runs(vec![json!(5), json!(6)]));
    let said = of("{ from = 'm.result' }");
    assert!(said[0].1.as_str().unwrap().starts_with("upstream-failed: it depends on `m[1]`"));
}

#[test]
fn a_skipped_run_has_nil_in_its_place_where_that_is_wanted() {
    let text = "tasks.a.call = 't.list'\n\
                tasks.m = { call = 't.list', arguments.x = { map = [0, 1] } }\n\
                tasks.b = { call = 't.work', arguments.x = { from = 'a.result.deep.down' } }\n\
                tasks.c = { call = 't.work', skip_on_upstream_skip = false, arguments = { x = { from = 'a.result.deep.down' }, y = { from = 'm.result' } } }\n\
                tasks.d = { call = 't.work', arguments.y = { from = 'm.result' } }\n\
                tasks.e = { call = 't.work', arguments.y = { from = 'm.result', errors = 'skip' } }\n\
                tasks.f = { call = 't.work', arguments.y = { map = 'm.result' } }\n\
                tasks.g = { call = 't.work', skip_on_upstream_skip = false, arguments.y = { map = 'm.result' } }\n\
                tasks.h = { call = 't.work', arguments.y = { from = 'a.result', errors = 'states' } }";
    let played = play(text, &|name| match name {
        "a" | "m[0]" => json!("skips"),
        _ => json!(7),
    });
    let skipped = |name: &str| {
        format!("skipped: `{name}` was skipped; skip_on_upstream_skip = false would let it run")
    };
    assert_eq!(played.said("b"), skipped("a"));
    assert_eq!(played.said("c"), r#"{"x":null,"y":[null,7]}"#);
    assert_eq!(played.said("d"), skipped("m"));
    assert_eq!(played.said("e"), r#"{"y":[7]}"#);
    assert_eq!(played.said("f[0]"), skipped("m[0]"));
    assert_eq!(played.said("f[1]"), r#"{"y":7}"#);
    assert_eq!(played.said("g[0]"), r#"{"y":null}"#);
    let told: Json = serde_json::from_str(played.said("h")).unwrap();
    assert_eq!(
        told["y"],
        json!({ "state": "completed", "name": "Skipped", "message": null, "run": RUN })
    );
    // Skipped is a kind of success.
    assert_eq!(played.value(), json!(null));
}

#[test]
fn what_maps_over_a_task_that_never_started_has_no_size() {
    let text = "tasks.a.call = 't.list'\n\
                tasks.m = { call = 't.list', arguments.x = { map = 'a.result' } }\n\
                tasks.raises = { call = 't.work', arguments.x = { map = 'm.result' } }\n\
                tasks.goes = { call = 't.work', trigger = 'any-failed', arguments.x = { map = 'm.result' } }\n\
                tasks.skips = { call = 't.work', arguments.x = { map = 'm.result', errors = 'skip' } }\n\
                tasks.list = { call = 't.work', arguments.x = { from = 'm.result', errors = 'skip' } }\n\
                tasks.states = { call = 't.work', arguments.x = { from = 'm.result', errors = 'states' } }";
    let played = play(text, &|name| if name == "a" { json!("fails") } else { json!(7) });
    let because = format!("`a` (run {RUN}): Failed: broken: on purpose");
    assert_eq!(played.said("m"), format!("upstream-failed: it depends on {because}"));
    assert_eq!(played.said("raises"), format!("upstream-failed: it depends on {because}"));
    assert_eq!(
        played.said("goes"),
        format!(
            "upstream-failed: `m.result` is not there, because of {because}; so it is not known \
             how many runs there would be"
        )
    );
    assert_eq!(played.said("skips"), "skipped: `m.result` is not there to be mapped over");
    assert_eq!(played.said("list"), r#"{"x":[]}"#);
    let told: Json = serde_json::from_str(played.said("states")).unwrap();
    assert_eq!(told["x"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["x"][0]["message"], "broken: on purpose");
}

#[test]
fn the_state_of_the_flow_follows_its_result_tasks() {
    let of = |result: &str, failing: &'static [&'static str]| {
        let text = format!(
            "{result}tasks.a.call = 't.list'\n\
             tasks.m = {{ call = 't.list', arguments.x = {{ map = [0, 1] }} }}\n\
             tasks.last = {{ call = 't.work', after = ['a', 'm'], trigger = 'any-failed' }}"
        );
        play(&text, &|name| if failing.contains(&name) { json!("fails") } else { json!(name) })
    };
    let result = "flow.result = 'a.result'\n";
    assert_eq!(of(result, &[]).value(), json!("a"));
    assert_eq!(of(result, &["m[0]", "last"]).value(), json!("a"));
    let why = "because of `a` (run ";
    let said = of(result, &["a"]).failure();
    assert!(said.starts_with(&format!("the result task `a` did not complete, {why}")), "{said}");
    let list = "flow.result = ['m.result', 'a.result']\n";
    assert_eq!(of(list, &["last"]).value(), json!([["m[0]", "m[1]"], "a"]));
    let said = of(list, &["a"]).failure();
    assert!(said.starts_with("the result task `a` did not complete"), "{said}");
    let said = of(list, &["a", "m[1]"]).failure();
    assert!(
        said.starts_with("2 of 2 results are not there: the result task `m` did not complete"),
        "{said}"
    );
    let partial = "flow.result = { from = 'm.result', errors = 'skip' }\n";
    assert_eq!(of(partial, &["m[0]"]).value(), json!(["m[1]"]));
    let states = "flow.result = [{ from = 'a.result', errors = 'states' }, 'm.result']\n";
    let value = of(states, &["a"]).value();
    assert_eq!((&value[0]["state"], &value[0]["run"]), (&json!("failed"), &json!(RUN)));
    // Without a result, it follows what nothing depends on: here a task that has nothing to do.
    let said = of("", &[]).failure();
    assert!(said.contains("`last`: TriggerFailed: trigger any-failed: 3 of 3 succeeded"), "{said}");
    assert_eq!(of("", &["a"]).value(), json!(null));
}

#[test]
fn a_flow_that_fails_fast_says_of_the_rest_that_it_was_not_run() {
    let text = "flow.fail_fast = true\ntasks.a.call = 't.list'\ntasks.b = { call = 't.work', after = ['a'] }\n\
                tasks.m = { call = 't.list', after = ['b'], arguments.x = { map = [1] } }";
    let played = play(text, &|name| if name == "a" { json!("fails") } else { json!(7) });
    let why = format!(
        "cancelled: the flow stops at its first failure, `a` (run {RUN}): Failed: broken: on purpose"
    );
    assert_eq!((played.said("b"), played.said("m")), (why.as_str(), why.as_str()));
    assert!(played.failure().contains("1 of 1 last tasks did not complete"));
}

/// A map of (nearly, as a value has a million nodes at most) a million whose runs mostly fail, two more that map over it, and what reads them.
const MILLION: u64 = 999_990;

fn million(keys: &str) -> (Schedule, usize) {
    let plan = plan(&format!(
        "tasks.a.call = 't.list'\n\
         tasks.m = {{ call = 't.work', arguments.x = {{ map = 'a.result' }}, {keys} }}\n\
         tasks.n = {{ call = 't.work', arguments.x = {{ map = 'm.result' }} }}\n\
         tasks.o = {{ call = 't.work', arguments.x = {{ map = 'm.result', errors = 'skip' }} }}\n\
         tasks.p = {{ call = 't.work', arguments.x = {{ map = 'n.result' }} }}\n\
         tasks.q = {{ call = 't.work', arguments.x = {{ from = 'o.result', errors = 'skip' }} }}"
    ));
    (Schedule::new(plan), 4)
}

#[test]
fn a_million_runs_that_are_not_started_are_told_of_at_once() {
    for (keys, allowed) in
        [("max_failures = 100", 100), ("max_failures = '0.01%'", 100), ("fail_fast = true", 0)]
    {
        let (mut schedule, window) = million(keys);
        let list: Vec<u64> = (0..MILLION).collect();
        let mut flying = std::collections::VecDeque::new();
        let (mut steps, mut failed, mut ends, mut cancels) = (0, 0, BTreeMap::new(), 0);
        loop {
            while flying.len() < window
                && let Some(step) = schedule.next_step()
            {
                steps += 1;
                match step {
                    Step::Run { node, index, .. } => flying.push_back((node, index)),
                    Step::End { node, index: None, cause } => {
                        let before = ends.insert(node, cause);
                        assert!(before.is_none(), "{node} was told of twice");
                    }
                    Step::Cancel { node, index } => {
                        assert_eq!((node, index), (1, None));
                        cancels += 1;
                    }
                    Step::End { .. } | Step::Mapped { .. } => {}
                }
            }
            let Some((node, index)) = flying.pop_front() else { break };
            let ended = match node {
                0 => Ended::Value(Value::encode(&list).unwrap()),
                1 if index.unwrap() % 10 > 0 => {
                    failed += 1;
                    Ended::Failed(Blame::unstarted("m", "Failed", "on purpose"))
                }
                _ => Ended::Value(Value::encode(&1).unwrap()),
            };
            assert!(schedule.on_done(node, index, RunId::new(), ended));
            assert!(schedule.held() < 1_000 && schedule.queued() < 1_000);
        }
        assert!(schedule.is_finished());
        // What was under way when it was too much may still fail.
        assert!((allowed + 1..allowed + 1 + 4).contains(&failed), "{keys}: {failed}");
        assert!(steps < 1_000, "{keys}: {steps} steps");
        assert_eq!(cancels, usize::from(keys == "fail_fast = true"), "{keys}");
        let Cause::NotRun(why) = &ends[&1] else { panic!("{:?}", ends[&1]) };
        assert!(why.contains("of 999990 runs were not started: "), "{why}");
        assert_eq!(why.contains("more than 100 of 999990 runs failed"), allowed == 100, "{why}");
        assert!(
            matches!(&ends[&2], Cause::Upstream(blame) if blame.message.as_ref().is_some_and(|why| why.contains("failed")))
        );
        assert!(matches!(&ends[&3], Cause::Skipped(_)));
        assert!(matches!(&ends[&4], Cause::Upstream(_)));
        assert!(!ends.contains_key(&5), "what takes the rest runs");
        let end = ends.remove(&1).map(Cause::outcome);
        assert!(matches!(end, Some(Outcome::Ended(end)) if end.kind == EndKind::Cancelled));
    }
}

#[test]
fn max_failures_count_what_failed_itself() {
    // Three of ten fail in the first map; the second counts only its own.
    let text = "tasks.a = { call = 't.list', arguments.x = { map = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] } }\n\
                tasks.b = { call = 't.work', max_failures = 1, arguments.x = { map = 'a.result' } }";
    let played = play(text, &|name| match name {
        "a[0]" | "a[1]" | "a[2]" | "b[4]" => json!("fails"),
        _ => json!(7),
    });
    assert_eq!(played.said("b[9]"), r#"{"x":7}"#);
    let played = play(text, &|name| match name {
        "a[0]" | "b[4]" | "b[6]" => json!("fails"),
        _ => json!(7),
    });
    assert_eq!(played.said("b[7]"), "never");
    assert_eq!(
        played.said("b"),
        "cancelled: 3 of 10 runs were not started: more than 1 of 10 runs failed"
    );
}
