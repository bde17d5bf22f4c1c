//! The keys of `[flow]`: labels, results and hooks.

use std::path::Path;

use sandmill_flow::{DEFAULT_HOOK_TIMEOUT, HookAction};

use super::{faults, plan, seconds};

#[test]
fn labels_and_results_of_the_flow() {
    let labelled = plan(
        "flow.labels = ['nightly', 'team a']\nflow.result = 'a.result'\ntasks.a.call = 't.list'",
    );
    assert_eq!(labelled.labels(), ["nightly", "team a"]);
    assert_eq!(labelled.result(), Some(0));
    let several = plan(
        "flow.result = ['b.result', { from = 'a.result', errors = 'skip' }]\n\
         tasks.a.call = 't.list'\ntasks.b.call = 't.list'",
    );
    assert_eq!(several.result(), None);
    let many = format!("labels = {:?}", vec!["x"; 65]);
    for (keys, expected) in [
        ("labels = 'x'", "3:15: `labels` is an array, not a string"),
        ("labels = ['']", "3:16: a label has from 1 to 128 bytes, not 0"),
        (many.as_str(), "3:15: a flow has at most 64 labels, not 65"),
        ("result = []", "3:15: `result` has from 1 to 256 entries, not 0"),
        ("result = ['a.result', 'b.result']", "3:28: there is no task `b` (did you mean `a`?)"),
        (
            "result = { from = 'parameters.x' }",
            "3:24: `parameters.x` is no task's result (write result = \"TASK.result\")",
        ),
        (
            "result = { errors = 'skip' }",
            "3:15: `result` has no `from` (write { from = \"TASK.result\", errors = \"skip\" })",
        ),
        (
            "result = { from = 'a.result', error = 'skip' }",
            "3:36: unknown key `error` in `result` (did you mean `errors`?)",
        ),
        ("result = [7]", "3:16: an entry of `result` is a string, not an integer"),
        ("on_exist = 1", "3:6: unknown key `on_exist` in [flow] (did you mean `on_exit`?)"),
    ] {
        let keys = format!("flow.{keys}\ntasks.a.call = 't.list'");
        assert_eq!(faults(&keys), [expected], "{keys}");
    }
}

#[test]
fn hooks_are_commands_and_tasks() {
    let plan = plan(
        "parameters.who = { type = 'string', default = 'me' }\nlimits.memory = '64MiB'\n\
         [flow.on_start]\ncommand = ['notify', 'it starts']\ntimeout = '30s'\n\
         [flow.on-exit]\ncall = 't.told'\narguments = { to = { from = 'parameters.who' } }\n\
         grants = { clock = true }\nlimits = { output = '1KiB' }\n[tasks.a]\ncall = 't.list'",
    );
    let start = plan.on_start().unwrap();
    assert_eq!(start.timeout, seconds(30));
    let HookAction::Command { argv, directory } = &start.action else { panic!("{start:?}") };
    assert_eq!(
        (argv.as_slice(), directory.as_path()),
        (["notify".to_owned(), "it starts".to_owned()].as_slice(), Path::new("/somewhere"),)
    );
    let exit = plan.on_exit().unwrap();
    assert_eq!(exit.timeout, DEFAULT_HOOK_TIMEOUT);
    let HookAction::Task { task, arguments, takes_flow, options, .. } = &exit.action else {
        panic!("{exit:?}")
    };
    assert!(takes_flow);
    assert_eq!((&**task, arguments.len()), ("told", 1));
    assert_eq!((&*arguments[0].0, arguments[0].1.as_str()), ("to", Some("me")));
    assert!(options.grants.clock);
    assert_eq!((options.limits.memory, options.limits.output), (64 << 20, 1 << 10));
    assert_eq!(options.limits.timeout, DEFAULT_HOOK_TIMEOUT);
    assert_eq!(options.name.as_deref(), Some("on_exit"));
}

#[test]
fn wrong_hooks() {
    let either = "`on_exit` has either `command` or `call` (write { command = [\"notify\", \
                  \"it ended\"] } or { call = \"COMPONENT.TASK\" })";
    let empty = "the command is empty (write { command = [\"notify\", \"it ended\"] } or { call = \
                 \"COMPONENT.TASK\" })";
    for (hook, expected) in [
        ("7", vec!["3:16: `on_exit` is a table, not an integer".to_owned()]),
        ("{}", vec![format!("3:16: {either}")]),
        ("{ command = ['x'], call = 't.list' }", vec![format!("3:16: {either}")]),
        ("{ command = [] }", vec![format!("3:28: {empty}")]),
        ("{ command = [''] }", vec![format!("3:28: {empty}")]),
        ("{ command = 'ls' }", vec!["3:28: `command` is an array, not a string".to_owned()]),
        (
            "{ command = ['ls'], argument = 1 }",
            vec![
                "3:36: unknown key `argument` in `on_exit` (did you mean `arguments`?)".to_owned(),
            ],
        ),
        (
            "{ command = ['ls'], grants = { clock = true } }",
            vec!["3:36: `grants` goes with `call`, not with `command`".to_owned()],
        ),
        (
            "{ command = ['ls'], timeout = '0s' }",
            vec!["3:46: `timeout` is 0, so that nothing could be done in it".to_owned()],
        ),
        (
            "{ call = 't.tolled' }",
            vec!["3:25: component `t` has no task `tolled` (did you mean `told`?)".to_owned()],
        ),
        (
            "{ call = 'u.told' }",
            vec!["3:25: there is no component `u` (did you mean `t`?)".to_owned()],
        ),
        (
            "{ call = 't.told' }",
            vec![
                "3:16: `t.told` needs the argument `to` (add arguments.to to `on_exit`)".to_owned(),
            ],
        ),
        (
            "{ call = 't.told', arguments = { to = 7, from = 'x' } }",
            vec![
                "3:54: argument `to` of `t.told` does not fit: 7 is not of type \"string\""
                    .to_owned(),
                "3:57: `t.told` takes no argument `from` (known here: `flow`, `to`)".to_owned(),
            ],
        ),
        (
            "{ call = 't.told', arguments.to = { from = 'a.result' } }",
            vec![
                "3:50: `on_exit` runs outside of the graph, and takes no results (take literals \
                 and parameters only)"
                    .to_owned(),
            ],
        ),
        (
            "{ call = 't.told', arguments.to = { map = ['x'] } }",
            vec![
                "3:50: `on_exit` runs outside of the graph, and takes no results (take literals \
                 and parameters only)"
                    .to_owned(),
            ],
        ),
    ] {
        let text = format!("flow.on_exit = {hook}\ntasks.a.call = 't.list'");
        assert_eq!(faults(&text), expected, "{hook}");
    }
}
