//! Every kind of fault, with its place; and that all of them come at once.

use crate::support::{HEAD, check, given};

/// The faults of a text below [`HEAD`] (which has two lines), one a line, with places and hints.
fn faults_of(tasks: &str) -> Vec<String> {
    faults(&format!("{HEAD}{tasks}"), &[])
}

fn faults(text: &str, parameters: &[(&str, &str)]) -> Vec<String> {
    let faults = match check(text, &given(parameters)) {
        Ok(_) => return Vec::new(),
        Err(faults) => faults,
    };
    let line = |fault: &sandmill_flow::Fault| {
        let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}:{}: {}{hint}", fault.line, fault.column, fault.what)
    };
    faults.iter().map(line).collect()
}

macro_rules! golden {
    ($($name:ident: $text:expr => [$($fault:expr),* $(,)?];)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(faults_of($text), [$($fault),*] as [&str; _]);
        }
    )*};
}

golden! {
    lists_of_a_map_that_are_not_equally_long:
        "tasks.a = { call = 't.list', arguments.x = { map = [1, 2, 3] }, arguments.y = { map = ['a', 'b'] } }\n\
         tasks.b = { call = 't.list', arguments.x = { flatten = [[1], [2, 3], []] }, arguments.y = { map = [] } }\n\
         tasks.c = { call = 't.list', arguments.x = { map = [1, 2, 3] }, arguments.y = { map = [] }, zip = 'shortest' }\n\
         tasks.d = { call = 't.list', arguments.x = { flatten = [[1], [2, 3], []] }, arguments.y = { map = [4, 5, 6] } }" => [
            "3:79: the lists that task `a` maps over are not equally long: `x` has 3, `y` has 2 \
             (make them so, or write zip = \"shortest\" to stop at the shortest)",
            "4:91: the lists that task `b` maps over are not equally long: `x` has 3, `y` has 0 \
             (make them so, or write zip = \"shortest\" to stop at the shortest)",
        ];
    what_says_nothing_of_a_task_that_runs_once:
        "tasks.a = { call = 't.list', fail_fast = true, max_failures = 3 }\n\
         tasks.b = { call = 't.list', fail_fast = false, arguments.x = { from = 'a.result', errors = 'skip' } }" => [
            "3:42: task `a` maps over nothing, so `fail_fast` says nothing (remove it)",
            "3:63: task `a` maps over nothing, so `max_failures` says nothing (remove it)",
            "4:42: task `b` maps over nothing, so `fail_fast` says nothing (remove it)",
        ];
    a_map_needs_an_array:
        "tasks.f = { call = 't.files', arguments.directory = '/src' }\n\
         tasks.c = { call = 't.count', arguments.name = { map = 'f.result.0.name' } }" => [
            "4:48: `map` needs an array, but `f.result.0.name` is a string",
        ];
    unknown_keys:
        "tasks.a = { call = 't.list', argument.x = 1, retry = 3 }\nflo.name = 'x'\n" => [
            "3:30: unknown key `argument` in task `a` (did you mean `arguments`?)",
            "3:46: unknown key `retry` in task `a`",
            "4:1: unknown key `flo` in the flow file (did you mean `flow`?)",
        ];
    wrong_kinds:
        "tasks.a = { call = 7, after = 'b', tags = [1] }\nparameters.p = 'x'\nflow.description = 3" => [
            "3:20: `call` is a string, not an integer",
            "3:31: `after` is an array, not a string",
            "3:44: each item of `tags` is a string, not an integer",
            "4:16: parameter `p` is a table, not a string",
            "5:20: `description` is a string, not an integer",
        ];
    missing_keys:
        "components.u.digest = 'sha256:00'\nparameters.p.default = 1\ntasks.a.after = []" => [
            "3:12: component `u` has no `path` (write path = \"FILE.wasm\")",
            "3:23: `sha256:00` is not a SHA-256 digest (64 hexadecimal digits)",
            "4:12: parameter `p` has no `type` (one of string, integer, number, boolean, bytes, array, object, any, path)",
            "5:7: task `a` has no `call` (write call = \"COMPONENT.TASK\")",
        ];
    unknown_components_and_tasks:
        "tasks.a.call = 'tt.list'\ntasks.b.call = 't.lst'\ntasks.c.call = 'list'\ntasks.d.call = 't.zebra'" => [
            "3:16: there is no component `tt` (did you mean `t`?)",
            "4:16: component `t` has no task `lst` (did you mean `list`?)",
            "5:16: `list` does not name a component's task (write call = \"COMPONENT.TASK\")",
            "6:16: component `t` has no task `zebra` (known here: `list`, `work`, `more`, `merge`, `fail`, `slow`, `files`, `count`, `total`, `farewell`)",
        ];
    unknown_references:
        "parameters.root = { type = 'string', default = 'x' }\n\
         tasks.count = { call = 't.list', arguments.x = { from = 'cuont.result' }, arguments.y = { from = 'parameters.rot' } }\n\
         tasks.b = { call = 't.list', after = ['conut'], arguments.x = { from = 'count' }, arguments.y = { map = 'count.results' } }\n\
         flow.result = 'tabel.result'" => [
            "4:48: there is no task `cuont` (did you mean `count`?)",
            "4:89: there is no parameter `rot` (did you mean `root`?)",
            "5:39: there is no task `conut` (did you mean `count`?)",
            "5:72: `count` is no reference: write `TASK.result` or `parameters.NAME`, with fields and indices after it",
            "5:105: `count.results` is no reference: write `TASK.result` or `parameters.NAME`, with fields and indices after it",
            "6:15: there is no task `tabel` (known here: `b`, `count`)",
        ];
    self_references:
        "tasks.a = { call = 't.list', after = ['a'], arguments.x = { from = 'a.result' } }" => [
            "3:39: task `a` cannot wait for itself",
            "3:59: task `a` cannot take its own result",
        ];
    cycles:
        "tasks.a = { call = 't.list', after = ['c'] }\n\
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }\n\
         tasks.c = { call = 't.work', arguments.x = { from = 'b.result' } }\n\
         tasks.d = { call = 't.work', arguments.x = { from = 'c.result' } }" => [
            "3:7: these tasks wait for one another: a → b → c → a",
        ];
    argument_names:
        "tasks.a = { call = 't.count', arguments = { nam = 'x', width = 7 } }\ntasks.b.call = 't.total'" => [
            "3:7: `t.count` needs the argument `name` (add arguments.name to task `a`)",
            "3:45: `t.count` takes no argument `nam` (did you mean `name`?)",
            "4:7: `t.total` needs the argument `counts` (add arguments.counts to task `b`)",
        ];
    literals:
        "tasks.a = { call = 't.count', arguments = { name = 7, width = 101 } }\n\
         tasks.b = { call = 't.count', arguments = { name = { map = ['a', 7] }, width = { unmapped = 'x' } } }\n\
         tasks.c = { call = 't.total', arguments.counts = [1, 'x'] }\n\
         tasks.d = { call = 't.list', arguments.x = 2026-01-01, arguments.y = { map = 7 } }" => [
            "3:52: argument `name` of `t.count` does not fit: 7 is not of type \"string\"",
            "3:63: argument `width` of `t.count` does not fit: 101 is greater than the maximum of 100",
            "4:52: argument `name` of `t.count` does not fit: 7 is not of type \"string\", at /1",
            "4:80: argument `width` of `t.count` does not fit: \"x\" is not of type \"integer\"",
            "5:50: argument `counts` of `t.total` does not fit: \"x\" is not of type \"integer\", at /1",
            "6:44: a date or time is not a value that tasks know (write it as a string, in quotes)",
            "6:78: `map` takes a reference or an array, not an integer",
        ];
    edges:
        "tasks.f = { call = 't.files', arguments.directory = '/' }\n\
         tasks.c = { call = 't.count', arguments.name = { map = 'f.result' } }\n\
         tasks.d = { call = 't.count', arguments.name = { map = 'f.result.0.sise' } }\n\
         tasks.e = { call = 't.total', arguments.counts = { from = 'c.result' } }\n\
         tasks.g = { call = 't.count', arguments.name = { from = 'e.result' } }\n\
         tasks.h = { call = 't.count', arguments = { name = 'x', width = { from = 'e.result' } } }\n\
         tasks.i = { call = 't.total', arguments.counts = { from = 'e.result' } }\n\
         tasks.j = { call = 't.count', arguments.name = { flatten = 'c.result' } }\n\
         tasks.k = { call = 't.count', arguments.name = { map = 'e.result' } }\n\
         tasks.l = { call = 't.count', arguments.name = { from = 'f.result.x' } }" => [
            "4:48: argument `name` of `t.count` takes a string, but each element of `f.result` is an object",
            "5:48: `f.result.0.sise` leads nowhere: there is no `sise` (did you mean `size`?)",
            "7:48: argument `name` of `t.count` takes a string, but `e.result` is a number",
            "8:65: argument `width` of `t.count` takes an integer, but `e.result` is a number",
            "9:50: argument `counts` of `t.total` takes an array, but `e.result` is a number",
            "10:48: `flatten` needs an array, but an element of `c.result` is an integer",
            "11:48: `map` needs an array, but `e.result` is a number",
            "12:48: `f.result.x` leads nowhere: it is an array, and `x` is no index",
        ];
    limits_and_grants:
        "limits = { timeout = 30, memry = '1MiB' }\n\
         grants = { clock = 'yes', net = ['example.com'], dirs = [{ host = '/no/such/dir', guest = '/x' }, { guest = '/y' }] }\n\
         tasks.a = { call = 't.list', limits.memory = '64', grants.dirs = [{ host = '/', guest = 'x' }, { host = '/', guest = '/x', access = 'all' }], grants.env.X = { from = 'a.result' } }\n\
         tasks.b = { call = 't.list', limits.handles = -1, grants = { http = ['http://x/'], env = { 'A=B' = '1' } } }" => [
            "3:22: the limit `timeout` does not fit: invalid type: integer `30`, expected a string (write the number with its unit, in quotes: \"30s\" or \"64MiB\")",
            "3:26: unknown key `memry` in the limits (did you mean `memory`?)",
            "4:20: `clock` is true or false, not a string",
            "4:34: `example.com` does not name a network peer as HOST:PORT: it has no port; `HOST:*` means any",
            "4:67: the host directory `/no/such/dir` does not exist",
            "4:99: the directory grant has no `host` (write { host = \"data\", guest = \"/data\", access = \"read-only\" })",
            "5:46: `64` is not a size: write a number and a unit, such as 512KiB, 64MiB or 2GiB",
            "5:89: the guest directory `x` is not absolute (the guest sees it under a path that starts with `/`)",
            "5:133: unknown access `all` (write `read-only` or `read-write`)",
            "5:167: grants are known before anything runs, so they take parameters only (write `parameters.NAME`)",
            "6:47: the limit `handles` does not fit: invalid value: integer `-1`, expected u32",
            "6:70: `http://x/` does not name a HTTP server as HOST[:PORT]: the port is not a number up to 65535",
            "6:92: `A=B` cannot name an environment variable",
        ];
    names_and_forms:
        "tasks.'a b'.call = 't.list'\ntasks.parameters.call = 't.list'\n\
         tasks.c = { call = 't.list', arguments.x = { from = 'a.result', map = 'a.result' }, zip = 'longest' }\n\
         tasks.d = { call = 't.list', tags = ['resource:gpu=many'], resources.gpu = -1, zip = 'shortest' }" => [
            "3:7: the task name `a b` has the character ' ' (use letters, digits, `-` and `_`, starting with a letter or digit)",
            "4:7: no task can have the name `parameters` (references to parameters begin with this word: take another)",
            "5:44: an argument has one form, not `from` and `map` (for a table with such keys write { literal = { … } })",
            "5:91: unknown way to zip `longest` (write `strict` (the default) or `shortest`)",
            "6:38: the tag `resource:gpu=many` does not ask for a resource as resource:KEY=NUM: NUM is not a number",
            "6:76: the amount of a resource is 0 or more",
            "6:86: task `d` maps over fewer than two lists, so `zip` says nothing (remove it)",
        ];
    builds_and_digests:
        "components.u = { path = 'u.wasm', build = { crate = '.', command = ['x'] } }\n\
         components.v = { path = 'v.wasm', digest = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', build.command = [] }\n\
         components.w = { path = 'missing.wasm', build = { crate = '.', directory = 'x' } }\n\
         tasks.a.call = 't.list'" => [
            "3:43: `build` has either `crate` or `command` (write { crate = \".\" } or { command = [\"make\", \"x\"] })",
            "4:44: component `v` is not the one that is pinned (pinned sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, found sha256:f3538d6a3c8d4479ca271aa293c8c1a62c2d01e2427dc8f3da07528d14a3028d)",
            "4:135: the command is empty (write command = [\"make\", \"x\"])",
            "5:25: component `w` cannot be used: there is no such file",
            "5:76: `directory` goes with `command`, not with `crate`",
        ];
}

#[test]
fn a_right_flow_has_none() {
    assert!(
        faults_of(
            "parameters.width = { type = 'integer', default = 7 }\n\
             limits.timeout = '3s'\ngrants = { clock = true, dirs = [{ host = '/', guest = '/x' }] }\n\
             tasks.f = { call = 't.files', arguments.directory = '/src' }\n\
             tasks.c = { call = 't.count', limits.memory = '1GiB', arguments.name = { map = ['a', 'b'] } }\n\
             tasks.d = { call = 't.total', after = ['f'], arguments.counts = { from = 'c.result' } }\n\
             tasks.e = { call = 't.count', arguments = { name = { unmapped = 'x' }, width = { from = 'parameters.width' } } }\n\
             flow.result = 'd.result'"
        )
        .is_empty()
    );
}

#[test]
fn parameters_are_checked_by_type_and_name() {
    let text = format!(
        "{HEAD}parameters.need.type = 'integer'\nparameters.kind.type = 'strin'\n\
         parameters.wrong = {{ type = 'integer', default = 'x' }}\nparameters.count.type = 'integer'\n\
         parameters.at = {{ type = 'path', default = ['/no/such', '$NOWHERE/x'] }}\n\
         parameters.home = {{ type = 'path', default = '~/x' }}\ntasks.a.call = 't.list'"
    );
    assert_eq!(
        faults(&text, &[("count", "\"7\""), ("conut", "7")]),
        [
            "3:12: parameter `need` is required and was not given (give it with -p need=VALUE)",
            "4:24: unknown type `strin` (did you mean `string`?)",
            "5:50: parameter `wrong` is of type integer, its default is a string",
            "6:12: parameter `count` is of type integer, but was given a value of kind string",
            "7:44: none of the default paths of parameter `at` exists (give one with -p at=PATH)",
            "8:46: `~/x`: the environment has no variable `HOME`",
            "0:0: the flow has no parameter `conut` (did you mean `count`?)",
        ]
    );
}

#[test]
fn five_different_faults_come_at_once_also_behind_a_syntax_error() {
    let text = "\
[flow]
name = \"Census\"

[components.t]
path = t.wasm

[components.t2]
path = \"missing.wasm\"

[tasks.a]
call = \"t2.list\"
retry = 3

[tasks.b]
call = \"t3.list\"
arguments.x = { from = \"a.result\" }
arguments.y = { map = \"a\" }
";
    let found = faults(text, &[]);
    assert!(found.len() >= 5, "{found:#?}");
    for part in [
        "2:8: `Census` cannot be the name of a flow",
        "5:8: not TOML",
        "8:8: component `t2` cannot be used: there is no such file",
        "12:1: unknown key `retry` in task `a`",
        "17:23: `a` is no reference",
    ] {
        assert!(found.iter().any(|fault| fault.starts_with(part)), "no {part} in {found:#?}");
    }
}

#[test]
fn nothing_that_is_read_panics() {
    for text in [
        "",
        "\u{0}",
        "[",
        "flow = 1",
        "tasks = []",
        "[[tasks]]",
        "components.t = []\n[flow]",
        "tasks.a = { call = 't.list', arguments = 3, limits = 1, grants = 2, zip = 3, labels = {} }",
        "parameters = 3",
        "flow.name = ''",
        "\u{feff}[flow]",
        "a.b.c.d.e = 1",
        "[flow]\nname = \"\\u0000\"",
    ] {
        assert!(!faults(text, &[]).is_empty(), "{text:?} was taken");
    }
    assert_eq!(
        faults(&"#".repeat((1 << 20) + 1), &[])[0],
        "1:1: the file has 1048577 bytes; a flow file has at most 1048576"
    );
    let many: String = (0..1001).map(|n| format!("tasks.t{n}.call = 't.list'\n")).collect();
    assert_eq!(faults_of(&many), ["3:1: a flow has at most 1000 tasks, not 1001"]);
    let deep = format!(
        "tasks.a = {{ call = 't.list', arguments.x = {}1{} }}",
        "[".repeat(70),
        "]".repeat(70)
    );
    assert!(faults_of(&deep)[0].contains("out of bounds"), "{:?}", faults_of(&deep));
}

#[test]
fn the_examples_are_right() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut read = 0;
    for example in std::fs::read_dir(&examples).unwrap() {
        let path = example.unwrap().path().join("flow.toml");
        if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            sandmill_flow::FlowFile::parse(&path, &text)
                .unwrap_or_else(|faults| panic!("{faults}"));
            read += 1;
        }
    }
    assert!(read > 0, "there are no examples in {}", examples.display());
}
