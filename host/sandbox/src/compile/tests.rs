//! Components compiled in children: the same code as here, within limits, and whatever the child
//! does instead.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use sandmill_core::{Component, Invoker as _, Limits};
use sandmill_wire::{End, EndKind};

use super::message::{Answer, Effort, Question};
use super::process::{Output, Process};
use super::{CompileCommand, CompileLimits, MAX_COMPILE_STDERR};
use crate::engine;
use crate::invoke::support::{self, call, call_with, echo, guest, limits};
use crate::{CacheConfig, Sandbox, SandboxConfig};

/// Says that this process is to compile.
const CHILD: &str = "SANDMILL_TEST_COMPILES";

/// Not a test by itself: this very program, started again to compile. The harness writes to standard
/// output, so that is kept at another number.
#[test]
#[expect(clippy::exit, reason = "the harness has nothing more to say")]
fn compiles_when_it_is_told_to() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut output = File::options().write(true).open("/dev/fd/3").unwrap();
    let code = super::child::attend(&mut std::io::stdin().lock(), &mut output);
    std::process::exit(code.into());
}

fn this_program() -> CompileCommand {
    let script = format!(
        "exec env {CHILD}=1 \"$0\" --exact compile::tests::compiles_when_it_is_told_to \
         --nocapture 3>&1 >/dev/null"
    );
    let program = std::env::current_exe().unwrap();
    CompileCommand::new("sh", [OsString::from("-c"), script.into(), program.into()])
}

fn script(text: &str) -> CompileCommand {
    CompileCommand::new("sh", ["-c", text])
}

fn config(command: CompileCommand) -> SandboxConfig {
    SandboxConfig { slots: 1, compile: Some(command), ..SandboxConfig::default() }
}

fn sandbox(command: CompileCommand) -> Sandbox {
    Sandbox::new(config(command)).unwrap()
}

fn limited(compile_limits: CompileLimits) -> Sandbox {
    Sandbox::new(SandboxConfig { compile_limits, ..config(this_program()) }).unwrap()
}

/// How often it compiled, and how often of these without optimisations.
fn counts(sandbox: &Sandbox) -> (u64, u64) {
    let compile = sandbox.diagnosis().compile;
    (compile.compiled, compile.unoptimized)
}

fn refusal(sandbox: &Sandbox, component: &Component) -> String {
    let end = sandbox.prepare(component).unwrap_err();
    assert_eq!(end.kind, EndKind::Refused, "{end}");
    end.message
}

/// An echo that has functions beside it which take the compiler long: every one of a function's
/// `loops` loops, inside of each other, carries all of its `locals` locals.
fn slow((functions, loops, locals): (usize, usize, usize)) -> Component {
    let changed: String = (0..locals)
        .map(|n| {
            let other = (n + 7) % locals;
            format!("(local.set {n} (i32.add (local.get {n}) (local.get {other})))")
        })
        .collect();
    let opened = "(loop ".repeat(loops);
    let closed = "(br_if 0 (local.get 0)))".repeat(loops);
    let named = "i32 ".repeat(locals);
    let items: String = (0..functions)
        .map(|n| format!("(func $slow{n} (local {named}) {opened} {changed} {closed})"))
        .collect();
    let calls: String = (0..functions).map(|n| format!("(call $slow{n})")).collect();
    let body = format!(
        "(if (i32.eq (local.get $args-len) (i32.const 123456)) (then {calls}))
        (call $value (local.get $args) (local.get $args-len))"
    );
    guest("", &items, &body)
}

fn works(sandbox: &Sandbox, component: &Component) {
    assert!(support::run(sandbox, &call(component)).report.outcome.is_success());
}

#[test]
fn a_child_makes_what_this_process_makes() {
    let temporary = tempfile::tempdir().unwrap();
    let fuel = limits(Limits { fuel: Some(1_000_000), ..Limits::default() });
    let names = |directory: &Path| {
        let entries = fs::read_dir(directory.join("entries")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let component = echo();
    let made = [("here", None), ("child", Some(this_program()))].map(|(name, compile)| {
        let directory = temporary.path().join(name);
        let cache = CacheConfig::Dir(directory.clone());
        // Less memory than usual makes another pool, and the same code.
        let max_memory = 1 << 30;
        let config = SandboxConfig { slots: 1, cache, compile, max_memory, ..Default::default() };
        let sandbox = Sandbox::new(config.clone()).unwrap();
        let plain = support::run(&sandbox, &call(&component)).report;
        let metered = support::run(&sandbox, &call_with(&component, fuel.clone())).report;
        assert_eq!(counts(&sandbox), (2, 0));
        assert_eq!(plain.outcome, metered.outcome);
        (plain.outcome, metered.usage.fuel, names(&directory), config)
    });
    let [here, child] = &made;
    assert!(here.0.is_success() && here.1.is_some());
    assert_eq!((&here.0, here.1, &here.2), (&child.0, child.1, &child.2));

    sandbox(this_program()).try_compiler().unwrap();
    let end = sandbox(script("exit 1")).try_compiler().unwrap_err();
    assert!(end.message.contains("without an answer"), "{end}");

    // What is kept on disk needs no child.
    for (.., config) in made {
        let warm =
            Sandbox::new(SandboxConfig { compile: Some(script("exit 1")), ..config }).unwrap();
        works(&warm, &component);
        assert_eq!(counts(&warm), (0, 0));
    }
}

#[test]
fn a_component_that_is_not_valid_is_refused_in_the_same_words() {
    let invalid = wat::parse_str("(component (core module (func (result i32))))").unwrap();
    let invalid = Component::new(invalid, "test");
    let here = refusal(&support::sandbox(), &invalid);
    assert!(here.contains("not valid"), "{here}");
    assert_eq!(refusal(&sandbox(this_program()), &invalid), here);
}

#[test]
fn what_takes_too_long_is_compiled_with_less_effort() {
    let component = slow(SLOW);
    let cpu = Duration::from_secs(1);
    let sandbox = limited(CompileLimits { cpu, ..CompileLimits::default() });
    works(&sandbox, &component);
    assert_eq!(counts(&sandbox), (1, 1));
}

#[test]
fn what_takes_too_long_even_so_is_refused_while_others_go_on() {
    let (cpu, fallback_cpu) = (Duration::from_secs(2), Duration::from_secs(1));
    let sandbox = limited(CompileLimits { cpu, fallback_cpu, ..CompileLimits::default() });
    let (component, other) = (slow(BOMB), echo());
    std::thread::scope(|scope| {
        let bomb = scope.spawn(|| (refusal(&sandbox, &component), Instant::now()));
        std::thread::sleep(Duration::from_millis(100));
        works(&sandbox, &other);
        let worked = Instant::now();
        let (words, refused) = bomb.join().unwrap();
        assert!(worked < refused, "the other waited for the bomb");
        for told in
            ["more than 2s of CPU time", "without optimisations", "more than 1s of CPU time"]
        {
            assert!(words.contains(told), "{words}");
        }
    });
    assert_eq!(counts(&sandbox), (1, 0));
}

#[test]
fn what_takes_too_much_memory_is_refused() {
    let memory = 256 << 20;
    let sandbox = limited(CompileLimits { memory, ..CompileLimits::default() });
    works(&sandbox, &echo());
    let words = refusal(&sandbox, &slow(BOMB));
    assert_eq!(words.matches("more than 256MiB of memory").count(), 2, "{words}");
}

#[test]
fn another_program_is_no_compiler() {
    let component = echo();
    let end = |command| sandbox(command).prepare(&component).unwrap_err();
    let refused = |command, told: &[&str]| {
        let End { kind, message, .. } = end(command);
        assert_eq!(kind, EndKind::Refused, "{message}");
        assert!(told.iter().all(|told| message.contains(told)), "{message}");
    };
    let none: [&str; 0] = [];
    refused(
        CompileCommand::new("/bin/true", none),
        &["/bin/true", "without an answer", "status: 0"],
    );
    refused(CompileCommand::new("/bin/cat", none), &["/bin/cat", "not answer as a compiler"]);
    refused(script("cat >/dev/null; echo 'a bit of text'"), &["not answer as a compiler"]);
    refused(script("echo >&2 'what for?'; exit 3"), &["status: 3", "what for?"]);
    refused(script("kill -11 $$"), &["signal: 11"]);
    refused(script("head -c 100000 /dev/urandom"), &["not answer as a compiler"]);
    let gone = end(CompileCommand::new("/there/is/none", none));
    assert_eq!(gone.kind, EndKind::HostError);
    assert!(gone.message.contains("`/there/is/none` could not be started"), "{gone}");
    for signal in ["9", "15"] {
        let told = end(script(&format!("kill -{signal} $$")));
        assert_eq!(told.kind, EndKind::HostError);
        assert!(told.message.contains("told to end"), "{told}");
        assert!(told.message.contains(&format!("signal: {signal} ")), "{told}");
    }
}

#[test]
fn a_failure_of_the_host_is_not_remembered() {
    let temporary = tempfile::tempdir().unwrap();
    let program = temporary.path().join("compiler");
    let command = CompileCommand::new("sh", [program.as_os_str()]);
    fs::write(&program, "kill -15 $$").unwrap();
    let fuel = limits(Limits { fuel: Some(1_000_000), ..Limits::default() });
    let (component, sandbox) = (echo(), sandbox(command));
    assert_eq!(sandbox.prepare(&component).unwrap_err().kind, EndKind::HostError);
    let real = this_program();
    let real = format!(
        "exec sh -c '{}' '{}'",
        real.args[1].to_str().unwrap(),
        real.args[2].to_str().unwrap()
    );
    fs::write(&program, &real).unwrap();
    works(&sandbox, &component);
    // The same for another kind of engine.
    fs::write(&program, "kill -15 $$").unwrap();
    let metered = call_with(&component, fuel);
    let report = support::run(&sandbox, &metered).report;
    assert_eq!(support::end(&report).0, EndKind::HostError);
    fs::write(&program, &real).unwrap();
    assert!(support::run(&sandbox, &metered).report.outcome.is_success());
}

#[test]
fn a_child_that_does_not_end_is_ended_with_all_that_it_started() {
    let temporary = tempfile::tempdir().unwrap();
    let started = temporary.path().join("started");
    let text = format!("sleep 600 & echo $! >'{}'; wait", started.display());
    let deadline = Duration::from_millis(300);
    let compile_limits = CompileLimits { deadline, ..CompileLimits::default() };
    let sandbox = Sandbox::new(SandboxConfig { compile_limits, ..config(script(&text)) }).unwrap();
    let begun = Instant::now();
    let late = sandbox.prepare(&echo()).unwrap_err();
    assert_eq!(late.kind, EndKind::HostError, "{late}");
    assert!(late.message.contains("had not compiled the component after 300ms"), "{late}");
    assert_eq!(sandbox.prepare(&echo()).unwrap_err().kind, EndKind::HostError);
    assert!(begun.elapsed() < Duration::from_secs(60));
    let pid: i32 = fs::read_to_string(started).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let gone = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // Nobody may have asked yet how it ended.
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])),
        Err(_) => true,
    };
    while !gone() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{pid} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_a_child_writes_is_bounded() {
    let ask = |text: &str, limit| {
        let deadline = Some(Instant::now() + Duration::from_secs(60));
        let question = vec![0x55; 4 << 20];
        Process::start(&script(text))
            .unwrap()
            .ask(&[b"header", &question], limit, deadline)
            .unwrap()
    };
    // More than fits the pipes on both sides, written before anything is read.
    let ended = ask("head -c 3000000 /dev/zero; wc -c", 4 << 20);
    let Output::Whole(output) = ended.output else { panic!("it is whole") };
    assert!(ended.status.is_some_and(|status| status.success()));
    assert_eq!(output.len(), 3_000_000 + output[3_000_000..].len());
    assert_eq!(std::str::from_utf8(&output[3_000_000..]).unwrap().trim(), "4194310");
    assert!(matches!(ask("cat /dev/zero", 1 << 20).output, Output::TooMuch));
    let ended = ask("head -c 3000000 /dev/zero >&2; echo end >&2", 1 << 20);
    assert!(matches!(ended.output, Output::Whole(output) if output.is_empty()));
    assert_eq!(ended.errors.len(), MAX_COMPILE_STDERR);
    assert!(ended.errors.ends_with(b"end\n"));
}

#[test]
fn a_child_of_another_build_is_told_apart_and_damage_is_no_answer() {
    let component = echo();
    let engine = engine::compiling(false, Effort::Full).unwrap();
    let question = Question {
        code_hash: *engine::code_hash(&engine).as_bytes(),
        nonce: [9; 32],
        metered: false,
        effort: Effort::Full,
        cpu: 60,
        memory: 4 << 30,
        length: component.bytes().len() as u64,
    };
    let ask = |question: &Question, bytes: &[u8]| {
        let process = Process::start(&this_program()).unwrap();
        let deadline = Some(Instant::now() + Duration::from_secs(60));
        let ended = process.ask(&[&question.to_bytes(), bytes], 64 << 20, deadline).unwrap();
        let Output::Whole(output) = ended.output else { panic!("it is whole") };
        (Answer::parse(&question.nonce, output), ended.status.and_then(|status| status.code()))
    };
    let (answer, code) = ask(&question, component.bytes());
    assert!(matches!(answer, Some(Answer::Code(_))) && code == Some(0));
    let metered = Question { metered: true, ..question.clone() };
    assert_eq!(ask(&metered, component.bytes()), (Some(Answer::OtherBuild), Some(0)));
    // A question that is cut off has no answer.
    assert_eq!(ask(&question, &component.bytes()[1..]), (None, Some(1)));
    let large = Question { length: u64::MAX, ..question };
    assert_eq!(ask(&large, component.bytes()), (None, Some(1)));
}

/// Takes some seconds of CPU time, with optimisations or without: 16 functions of 8 KiB.
const SLOW: (usize, usize, usize) = (16, 100, 600);
/// Takes minutes and GiBs, with optimisations or without: it is the allocation of registers.
const BOMB: (usize, usize, usize) = (1, 2_000, 2_000);
