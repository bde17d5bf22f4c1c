//! Components compiled by the real binary: in a process of its own, which ends with the one that
//! started it, and makes the same as compiling in one's own process does. What the limits do is
//! tested with the sandbox.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sandmill::sandbox::{CacheConfig, Sandbox, SandboxConfig};
use sandmill::{CompileCommand, Component, ExecutorKind, Host};
use sandmill_test_artifacts::guest;
use support::{Place, document, said};

/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// A component that takes the compiler minutes: each of its loops, inside of each other, carries all
/// of its locals.
fn bomb(place: &Place) {
    let (loops, locals) = (3_000, 3_000);
    let changed: String =
        (0..locals).map(|n| format!("(local.set {n} (local.get {}))", (n + 7) % locals)).collect();
    let text = format!(
        "(component (core module (func (local {}) {} {changed} {})))",
        "i32 ".repeat(locals),
        "(loop ".repeat(loops),
        "(br_if 0 (local.get 0)))".repeat(loops),
    );
    fs::write(place.path().join("bomb.wasm"), wat::parse_str(text).unwrap()).unwrap();
}

/// The names of what a cache holds.
fn entries(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache.join("entries")).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
    names.sort();
    names
}

/// The state and the parent of a process, as long as it is there.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

fn is_there(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Waits for the process that compiles for this one.
fn compiler_of(parent: &mut Child) -> u32 {
    let begun = Instant::now();
    loop {
        let all = fs::read_dir("/proc").unwrap();
        let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let compiles = |pid: &u32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            stat(*pid).is_some_and(|(_, of)| of == parent.id())
                && command.ends_with(b"\0compile-child\0")
        };
        if let Some(pid) = pids.into_iter().find(compiles) {
            return pid;
        }
        assert!(parent.try_wait().unwrap().is_none(), "it ended without compiling in a child");
        assert!(begun.elapsed() < PATIENCE, "nothing compiles");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn compiling_bomb(place: &Place) -> Child {
    let mut command = place.command(&["inspect", "bomb.wasm"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn kill(pid: u32) {
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn a_child_makes_what_ones_own_process_makes() {
    let place = Place::new();
    fs::copy(guest("probe"), place.path().join("probe.wasm")).unwrap();
    place.write("sandmill.toml", "[cache]\ndirectory = \"kept\"\n");
    let call = place.run(&["call", "probe.wasm", "half", "-a", "number=42", "-o", "json"]);
    assert_eq!(call.code, 0, "{}", call.stderr);
    assert_eq!(document("call", &call.stdout)["value"], 21);
    let by_binary = entries(&place.path().join("kept"));

    let component = Component::new(fs::read(guest("probe")).unwrap(), "probe");
    let command = CompileCommand::new(env!("CARGO_BIN_EXE_sandmill"), ["compile-child"]);
    let host = |name: &str, command: Option<CompileCommand>| {
        let cache = place.path().join(name);
        let mut host = Host::builder().executor(ExecutorKind::Inline).cache_dir(&cache);
        if let Some(command) = command {
            host = host.compile_command(command);
        }
        let host = host.build().unwrap();
        let info = host.inspect(&component).unwrap();
        let half = host.task(&component, "half").unwrap();
        let half: u64 =
            half.call(sandmill::args! { "number" => 42 }.unwrap()).typed().result(None).unwrap();
        assert_eq!(half, 21);
        (info, entries(&cache))
    };
    let (here, child) = (host("here", None), host("child", Some(command)));
    assert_eq!(here, child);
    assert_eq!(by_binary, here.1);
}

#[test]
fn a_compiler_that_is_killed_is_told() {
    let place = Place::new();
    bomb(&place);
    let mut inspecting = compiling_bomb(&place);
    kill(compiler_of(&mut inspecting));
    let answer = said(inspecting.wait_with_output().unwrap());
    assert_eq!(answer.code, 3, "{}", answer.stderr);
    for told in ["bomb.wasm", "was told to end", "signal: 9"] {
        assert!(answer.stderr.contains(told), "{}", answer.stderr);
    }
}

#[test]
fn a_compiler_ends_with_whoever_started_it() {
    let place = Place::new();
    bomb(&place);
    let mut inspecting = compiling_bomb(&place);
    let compiler = compiler_of(&mut inspecting);
    // Long enough that it is at work, and has told the system whom it belongs to.
    std::thread::sleep(Duration::from_millis(300));
    assert!(is_there(compiler));
    inspecting.kill().unwrap();
    inspecting.wait().unwrap();
    let begun = Instant::now();
    while is_there(compiler) {
        assert!(begun.elapsed() < PATIENCE / 4, "it is still there");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn this_is_between_processes() {
    let place = Place::new();
    let answer = said(place.command(&["compile-child"]).stdin(Stdio::null()).output().unwrap());
    assert_eq!((answer.code, &*answer.stdout, &*answer.stderr), (1, "", ""));
    let help = place.run(&["--help"]);
    assert!(help.stdout.contains("inspect") && !help.stdout.contains("compile-child"));
    // A sandbox takes it as it is, too.
    let compile = Some(CompileCommand::new(env!("CARGO_BIN_EXE_sandmill"), ["compile-child"]));
    let cache = CacheConfig::Disabled;
    let sandbox = Sandbox::new(SandboxConfig { slots: 1, cache, compile, ..Default::default() });
    let compile = sandbox.unwrap().diagnosis().compile;
    assert_eq!(compile.program.as_deref(), Some(Path::new(env!("CARGO_BIN_EXE_sandmill"))));
}
