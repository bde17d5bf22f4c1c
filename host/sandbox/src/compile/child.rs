//! What a child process does that compiles one component: it puts limits on itself, reads, compiles,
//! answers, and ends. How it is started and what becomes of its answer is in `process`.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::message::{Answer, Effort, MAX_CODE_BYTES, Question};
use crate::engine;
use crate::prepared::panic_words;

/// Files that a child which compiles may have open: its three streams, and what the system's
/// libraries look up.
pub const COMPILE_FILES: u64 = 32;

/// Seconds of CPU time between the signal that ends a child and the one that nothing outlasts.
const CPU_GRACE: u64 = 2;

/// What the library that starts the compiler's threads calls it when it cannot: no fault of the
/// component.
const NO_THREADS: &str = "ThreadPoolBuildError";

/// The child could say what there is to say.
const ANSWERED: u8 = 0;
/// It was asked nothing, or nobody listens.
const UNANSWERED: u8 = 1;

/// Compiles one component for the host that started this process, as a
/// [`CompileCommand`](crate::CompileCommand) has to: what to do is read from standard input, what
/// came of it is written to standard output, and nothing else is. Returns the code for the process
/// to exit with.
///
/// This puts limits on the whole process that cannot be lifted again, and takes its panic hook
/// away: it is for a process that does nothing else, before it has started threads.
#[must_use]
pub fn compile_child() -> u8 {
    // The host is told of a panic in the answer.
    std::panic::set_hook(Box::new(|_| {}));
    attend(&mut io::stdin().lock(), &mut io::stdout().lock())
}

/// Answers one question.
pub(crate) fn attend(input: &mut impl Read, output: &mut impl Write) -> u8 {
    end_with_parent();
    be_first_to_go();
    let limited = limit_at_start();
    // Of the host's making and of fixed size: the limits that it sets come before what is foreign.
    let Ok(question) = Question::read(input) else { return UNANSWERED };
    let limited = limited.and_then(|()| limit(&question));
    let answer = match limited {
        Ok(()) => compiled(&question, input),
        Err(error) => Ok(Answer::Unable(format!("its limits cannot be set: {error}"))),
    };
    let written = answer.and_then(|answer| answer.write(&question.nonce, output));
    if written.is_ok() { ANSWERED } else { UNANSWERED }
}

/// Has this process end with the one that started it.
fn end_with_parent() {
    // Where that cannot be had, the limit on CPU time ends it.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Has the system, where it runs out of memory, take this process rather than its host or a child that
/// compiles what somebody else sent. Everybody may say that of themselves.
fn be_first_to_go() {
    // Where it cannot be said, the limit on address space is what there is.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// The limits that are the same for every component: it writes no file, nor what was in its memory
/// when it ends.
fn limit_at_start() -> io::Result<()> {
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, 0, 0)?;
    set(Resource::Nofile, COMPILE_FILES, COMPILE_FILES)
}

fn limit(question: &Question) -> io::Result<()> {
    set(Resource::As, question.memory, question.memory)?;
    set(Resource::Cpu, question.cpu, question.cpu.saturating_add(CPU_GRACE))
}

/// Sets a limit, where it is not lower already.
fn set(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let there = getrlimit(resource);
    let lower = |is: Option<u64>, to: u64| is.map_or(to, |is| is.min(to));
    let maximum = lower(there.maximum, maximum);
    let current = lower(there.current, current).min(maximum);
    let (current, maximum) = (Some(current), Some(maximum));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}

fn compiled(question: &Question, input: &mut impl Read) -> io::Result<Answer> {
    let cut_off = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let length = usize::try_from(question.length).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(length);
    input.take(question.length).read_to_end(&mut bytes)?;
    if bytes.len() != length {
        return Err(cut_off());
    }
    let answer = catch_unwind(AssertUnwindSafe(|| compile(question, &bytes)));
    Ok(answer.unwrap_or_else(|panic| {
        let said = panic_words(&*panic);
        if said.contains(NO_THREADS) {
            return Answer::Unable(format!("its threads cannot be started: {said}"));
        }
        Answer::Broken(format!("the compiler panicked: {said}"))
    }))
}

fn compile(question: &Question, bytes: &[u8]) -> Answer {
    let engine = |effort| engine::compiling(question.metered, effort);
    let full = match engine(Effort::Full) {
        Ok(engine) => engine,
        Err(error) => return unable(&error),
    };
    // Whatever the effort, it is the host's engine that the code has to fit.
    if engine::code_hash(&full).as_bytes() != &question.code_hash {
        return Answer::OtherBuild;
    }
    let engine = match question.effort {
        Effort::Full => full,
        Effort::Least => match engine(Effort::Least) {
            Ok(engine) => engine,
            Err(error) => return unable(&error),
        },
    };
    match engine.precompile_component(bytes) {
        Ok(code) if code.len() > MAX_CODE_BYTES => Answer::Broken(format!(
            "the code has {} bytes, the limit is {MAX_CODE_BYTES}",
            code.len()
        )),
        Ok(code) => Answer::Code(code),
        Err(error) if error.is::<wasmtime::OutOfMemory>() => Answer::OutOfMemory,
        Err(error) => Answer::Invalid(format!("{error:#}")),
    }
}

fn unable(error: &wasmtime::Error) -> Answer {
    Answer::Unable(format!("the engine cannot start: {error:#}"))
}
