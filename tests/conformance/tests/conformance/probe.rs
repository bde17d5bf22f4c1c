//! What a well-behaved guest sees and says: values, failures, logs, its context, and that without
//! grants nothing around it differs from run to run.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use sandmill::core::{LogLevel, LogSource};
use sandmill::{CallOptions, EndKind, Grants, TrapKind};
use sandmill_test_conformance::{Bench, LONG, Ran};
use serde::Deserialize;

use crate::table::{Case, Expect, Row, checks, defaults, row, same_story};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = checks![
        logs_keep_their_order_source_and_level,
        progress_ends_with_the_last_report,
        context_is_that_of_the_run,
        without_grants_nothing_differs,
        a_clock_that_is_granted_moves,
        randomness_that_is_granted_differs,
        sleeping_takes_as_long_as_it_says,
        variables_that_are_granted_are_there,
        directories_that_are_granted_are_there,
        usage_is_counted,
        memory_is_zero_after_a_run_that_painted_it,
    ];
    cases.extend(rows());
    cases
}

fn rows() -> Vec<Case> {
    use Expect::{End, Failure, Value};
    let probe = |task, arguments, expect| Row {
        guest: "probe",
        task,
        arguments,
        options: defaults,
        expect,
    };
    vec![
        row("add", probe("add", r#"{"left":20,"right":22}"#, Value("42"))),
        row("default", probe("add", r#"{"left":41}"#, Value("42"))),
        row(
            "large",
            probe(
                "add",
                r#"{"left":{"$int":"9223372036854775806"},"right":1}"#,
                Value(r#"{"$int":"9223372036854775807"}"#),
            ),
        ),
        row(
            "overflow",
            probe("add", r#"{"left":{"$int":"9223372036854775807"}}"#, Failure("overflow", "sum")),
        ),
        row("text", probe("shout", r#"{"text":"Grüße 🦀"}"#, Value(r#""GRÜSSE 🦀""#))),
        row(
            "bytes",
            probe("reverse", r#"{"bytes":{"$bytes":"AP8B"}}"#, Value(r#"{"$bytes":"Af8A"}"#)),
        ),
        row("no-bytes", probe("reverse", r#"{"bytes":{"$bytes":""}}"#, Value(r#"{"$bytes":""}"#))),
        row("nil", probe("nothing", "{}", Value("null"))),
        row(
            "record",
            probe(
                "pack",
                r#"{"parcel":{"label":"tea","weight":1.25,"marks":{}}}"#,
                Value(
                    r#"{"label":"box of tea","weight":1.75,"contents":[{"label":"tea","weight":1.25,"contents":[],"marks":{}}],"marks":{"fragile":null,"layers":-1}}"#,
                ),
            ),
        ),
        row("failure", probe("half", r#"{"number":7}"#, Failure("odd", "7 is odd"))),
        row(
            "kind-is-bent",
            probe("refuse", r#"{"kind":"Not Found!","message":""}"#, Failure("not-found-", "")),
        ),
        row("missing", probe("add", "{}", Failure("invalid-arguments", "is missing"))),
        row(
            "unknown-argument",
            probe("add", r#"{"left":1,"rihgt":2}"#, Failure("invalid-arguments", "rihgt")),
        ),
        row("wrong-type", probe("add", r#"{"left":"one"}"#, Failure("invalid-arguments", "left"))),
        row("arguments-are-a-map", probe("add", "[1,2]", Failure("invalid-arguments", "map"))),
        row("unknown-task", probe("subtract", "{}", Failure("unknown-task", "subtract"))),
        row(
            "panic",
            probe(
                "panic",
                r#"{"message":"no such luck"}"#,
                End(EndKind::Trapped(TrapKind::Panic), "no such luck"),
            ),
        ),
    ]
}

fn logs_keep_their_order_source_and_level(bench: &Bench) {
    let ran = bench.run("probe", "speak", r#"{"word":"hum"}"#);
    let lines: Vec<_> =
        ran.lines.iter().map(|line| (line.source, line.level, line.message.as_str())).collect();
    assert_eq!(
        lines,
        [
            (LogSource::Log, LogLevel::Trace, "hum 1"),
            (LogSource::Log, LogLevel::Debug, "hum 2"),
            (LogSource::Stdout, LogLevel::Info, "hum on standard output"),
            (LogSource::Log, LogLevel::Info, "hum 3"),
            (LogSource::Stderr, LogLevel::Warn, "hum on standard error"),
            (LogSource::Log, LogLevel::Warn, "hum 4"),
            (LogSource::Log, LogLevel::Error, "hum 5"),
            (LogSource::Stdout, LogLevel::Info, "hum without a line break"),
        ]
    );
    same_story("speak", &ran);
}

fn progress_ends_with_the_last_report(bench: &Bench) {
    let ran = bench.run("probe", "report", r#"{"steps":1000}"#);
    let last = ran.progress.last().expect("there is a report");
    assert_eq!((last.done, last.total, &*last.message), (1_000, Some(1_000), "stepping"));
    let done: Vec<u64> = ran.progress.iter().map(|report| report.done).collect();
    assert!(done.is_sorted(), "{done:?}");
    assert!(!ran.usage.read_context, "reporting progress does not make a run impure");
}

#[derive(Debug, Deserialize)]
struct AboutMe {
    run_id: String,
    attempt: u32,
    map_index: Option<u64>,
    deadline_nanos: Option<u64>,
    is_cancelled: bool,
}

fn context_is_that_of_the_run(bench: &Bench) {
    let limit = Duration::from_secs(40);
    let options = CallOptions::default();
    let options = CallOptions {
        limits: sandmill::Limits { timeout: limit, ..options.limits.clone() },
        ..options
    };
    let call = bench.call("probe", "about_me", "{}").with_options(options);
    for map_index in [None, Some(7)] {
        let call = call.clone();
        let call = match map_index {
            Some(index) => call.at_index(index),
            None => call,
        };
        let ran = bench.run_call(call);
        let about: AboutMe = ran.value();
        assert_eq!(about.run_id, ran.future.id().to_string());
        assert_eq!((about.attempt, about.map_index), (1, map_index));
        assert_eq!(ran.future.name(), if map_index.is_some() { "about_me[7]" } else { "about_me" });
        let left = Duration::from_nanos(about.deadline_nanos.expect("there is a deadline"));
        assert!(left <= limit && left > Duration::from_secs(10), "{left:?} of {limit:?} left");
        assert!(!about.is_cancelled);
        assert!(ran.usage.read_context, "the answer depends on more than the arguments");
    }
}

fn without_grants_nothing_differs(bench: &Bench) {
    let look = || bench.run("probe", "look_around", "{}");
    let (first, second) = (look(), look());
    assert_eq!(first.bytes(), second.bytes());
    same_story("look_around", &first);
    let seen = first.json();
    assert_eq!(seen["variables"], serde_json::json!({}));
    assert_eq!(seen["input"], 0);
    assert_eq!(seen["passed_nanos"], 0, "the clock stands still while the guest works");
    assert!(seen["root"].as_array().is_none_or(Vec::is_empty), "files: {}", seen["root"]);

    // The randomness follows from the call: another call, other bytes.
    let random = |count: u64| {
        let arguments = format!("{{\"count\":{count}}}");
        bench.run("probe", "random", &arguments).bytes()
    };
    assert_eq!(random(64), random(64));
    assert_ne!(random(64)[2..18], random(65)[2..18]);
}

fn granted(grants: Grants) -> impl Fn(&mut CallOptions) {
    move |options| options.grants = grants.clone()
}

fn a_clock_that_is_granted_moves(bench: &Bench) {
    let grants = Grants { clock: true, ..Grants::default() };
    let look = || bench.run_with("probe", "look_around", "{}", granted(grants.clone())).json();
    let (first, second) = (look(), look());
    let now = |seen: &serde_json::Value| seen["now_micros"].as_u64().expect("it is a number");
    assert!(now(&second) > now(&first));
    let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let apart = here.abs_diff(Duration::from_micros(now(&second)));
    assert!(apart < LONG, "the guest's clock is {apart:?} off");
    assert!(first["passed_nanos"].as_u64().is_some_and(|passed| passed > 0));
    assert_eq!(first["random"], second["random"], "the clock brings no randomness");
}

fn randomness_that_is_granted_differs(bench: &Bench) {
    let grants = Grants { random: true, ..Grants::default() };
    let look = || bench.run_with("probe", "look_around", "{}", granted(grants.clone())).json();
    let (first, second) = (look(), look());
    for what in ["random", "insecure", "seed", "hash"] {
        assert_ne!(first[what], second[what], "{what}");
    }
    assert_eq!(first["now_micros"], second["now_micros"], "randomness brings no clock");
}

fn sleeping_takes_as_long_as_it_says(bench: &Bench) {
    let sleep = || bench.run("probe", "sleep", r#"{"millis":20}"#);
    let ran = sleep();
    assert_eq!(ran.value::<u64>(), 20_000_000, "the guest's clock moves by what it slept");
    assert!(ran.usage.wall_micros >= 20_000, "and so does the real one");
    assert_eq!(ran.bytes(), sleep().bytes());
}

fn variables_that_are_granted_are_there(bench: &Bench) {
    let env = BTreeMap::from([("COLOUR".to_owned(), "grey".to_owned())]);
    let grants = Grants { env, ..Grants::default() };
    let ask = |name: &str| -> Option<String> {
        let arguments = serde_json::json!({ "name": name }).to_string();
        bench.run_with("probe", "environment", &arguments, granted(grants.clone())).value()
    };
    assert_eq!(ask("COLOUR").as_deref(), Some("grey"));
    assert_eq!(ask("PATH"), None, "the host's own variables stay out");
}

fn directories_that_are_granted_are_there(bench: &Bench) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("in/word"), "stone").unwrap();
    let grant = |name: &str, how: &str| {
        format!("{}::/{name}:{how}", folder.path().join(name).display()).parse().unwrap()
    };
    let grants = Grants { dirs: vec![grant("in", "ro"), grant("out", "rw")], ..Grants::default() };
    let run = |task: &str, arguments: serde_json::Value| -> Ran {
        bench.run_with("probe", task, &arguments.to_string(), granted(grants.clone()))
    };
    let path = |path: &str| serde_json::json!({ "path": path });

    let read = run("read", path("/in/word"));
    assert_eq!(read.bytes()[2..], *b"stone");
    assert_eq!(run("list", path("/in")).value::<Vec<String>>(), ["word"]);

    let written = run("write", serde_json::json!({ "path": "/out/new", "bytes": "water" }));
    assert_eq!(written.value::<Option<()>>(), None);
    assert_eq!(fs::read(folder.path().join("out/new")).unwrap(), b"water");
    assert_eq!(run("make_folder", path("/out/deep")).value::<Option<()>>(), None);
    assert_eq!(run("count_folder", path("/out")).value::<u32>(), 2);

    let denied = run("write", serde_json::json!({ "path": "/in/word", "bytes": "water" }));
    assert_eq!(denied.failure().0, "error");
    assert_eq!(run("make_folder", path("/in/deep")).failure().0, "error");
    assert_eq!(fs::read(folder.path().join("in/word")).unwrap(), b"stone");
    assert_eq!(fs::read_dir(folder.path().join("in")).unwrap().count(), 1);
}

fn usage_is_counted(bench: &Bench) {
    let call = bench.call("probe", "reverse", r#"{"bytes":{"$bytes":"AAECAwQFBgcICQ=="}}"#);
    let input = call.arguments.len_bytes() as u64;
    let ran = bench.run_call(call);
    assert_eq!(ran.usage.input, input);
    assert_eq!(ran.usage.output, 12, "two bytes of header and ten of data");
    assert!(ran.usage.wall_micros > 0 && ran.usage.wall_micros < 60_000_000);
    assert!(ran.usage.peak_memory >= 1 << 16, "{} bytes", ran.usage.peak_memory);
    assert!(ran.usage.fuel.is_none() && !ran.usage.read_context);

    let fuel = |options: &mut CallOptions| options.limits.fuel = Some(1_000_000_000);
    let burn = |rounds: u32| {
        let arguments = format!("{{\"rounds\":{rounds}}}");
        let ran = bench.run_with("hostile", "burn", &arguments, fuel);
        assert!(matches!(ran.outcome, sandmill::Outcome::Value(_)), "{:?}", ran.outcome);
        ran.usage.fuel.expect("it was metered")
    };
    let (few, many) = (burn(1_000), burn(100_000));
    assert!(many > few + 99_000, "{few} units for 1,000 rounds, {many} for 100,000");
    assert_eq!(few, burn(1_000));
}

fn memory_is_zero_after_a_run_that_painted_it(bench: &Bench) {
    const PAGES: u32 = 64;
    // One slot, so that the run that looks gets the memory that was painted.
    let bench = Bench::fresh(bench.executor, 1);
    let arguments = format!("{{\"pages\":{PAGES}}}");
    for _ in 0..250 {
        let painted: u32 = bench.run("probe", "paint", &arguments).value();
        assert_eq!(painted, PAGES * 8_192);
        let found: u32 = bench.run("probe", "scan", &arguments).value();
        assert_eq!(found, 0, "words of another run were found");
    }
}
