//! The compiler as the sandbox has it: in this process, or in children with limits, of which one
//! that runs into a limit gets a second try with less effort.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::command::{CompileCommand, CompileLimits};
use super::fault::{Fault, Limit};
use super::gate::{COMPILE_WAIT, Gate};
use super::message::{Answer, Effort, MAX_ANSWER_BYTES, MAX_WORDS_BYTES, Question};
use super::process::{Ended, Output, Process};
use crate::engine::LinkedEngine;
use crate::panic_message::{self, LastWords};

/// Children of one sandbox that compile at a time: as many as the machine has threads, at least 2,
/// so that a component which takes long does not hold up all others, and at most 4, for the memory
/// that each may take. Components that come meanwhile wait for their turn.
pub const MAX_COMPILE_CHILDREN: usize = 4;

/// Signals by which people and the system end processes.
const TOLD: [Signal; 5] = [Signal::TERM, Signal::KILL, Signal::INT, Signal::HUP, Signal::QUIT];
/// Bytes of a child's standard error that are told.
const MAX_TOLD_BYTES: usize = 512;

/// Compiles components.
pub(crate) struct Compiler {
    command: Option<CompileCommand>,
    limits: CompileLimits,
    gate: Gate,
    compiled: AtomicU64,
    unoptimized: AtomicU64,
}

/// What a compiler has done.
pub(crate) struct Counts {
    pub(crate) compiled: u64,
    pub(crate) unoptimized: u64,
}

impl Compiler {
    pub(crate) fn new(command: Option<CompileCommand>, limits: CompileLimits) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            command,
            limits,
            gate: Gate::new(threads.clamp(2, MAX_COMPILE_CHILDREN)),
            compiled: AtomicU64::new(0),
            unoptimized: AtomicU64::new(0),
        }
    }

    /// What compiles, where that is not this process.
    pub(crate) const fn command(&self) -> Option<&CompileCommand> {
        self.command.as_ref()
    }

    pub(crate) fn counts(&self) -> Counts {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts { compiled: load(&self.compiled), unoptimized: load(&self.unoptimized) }
    }

    /// The code of the component with these bytes, for that kind of engine.
    pub(crate) fn compile(
        &self,
        engine: &LinkedEngine,
        metered: bool,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let code = match &self.command {
            None => here(engine, bytes),
            Some(command) => self.in_children(command, engine, metered, bytes),
        }?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        Ok(code)
    }

    fn in_children(
        &self,
        command: &CompileCommand,
        engine: &LinkedEngine,
        metered: bool,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let _pass = self.gate.pass(COMPILE_WAIT).ok_or(Fault::Busy(COMPILE_WAIT))?;
        let attempt = |effort| self.attempt(command, engine, metered, effort, bytes);
        let first = match attempt(Effort::Full) {
            Err(Fault::Limit(first)) => first,
            other => return other,
        };
        match attempt(Effort::Least) {
            Ok(code) => {
                self.unoptimized.fetch_add(1, Ordering::Relaxed);
                Ok(code)
            }
            Err(Fault::Limit(second)) => Err(Fault::BothLimits(first, second)),
            other => other,
        }
    }

    fn attempt(
        &self,
        command: &CompileCommand,
        engine: &LinkedEngine,
        metered: bool,
        effort: Effort,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let program = || command.program.clone();
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|error| Fault::NoRandom(error.to_string()))?;
        let cpu = match effort {
            Effort::Full => self.limits.cpu,
            Effort::Least => self.limits.fallback_cpu,
        };
        let cpu = whole_seconds(cpu);
        let question = Question {
            code_hash: *engine.code_hash.as_bytes(),
            nonce,
            metered,
            effort,
            cpu,
            memory: self.limits.memory,
            length: bytes.len() as u64,
        };
        let process = Process::start(command).map_err(|error| Fault::Start(program(), error))?;
        let deadline = Instant::now().checked_add(self.limits.deadline);
        let Ended { output, status, errors } = process
            .ask(&[&question.to_bytes(), bytes], MAX_ANSWER_BYTES, deadline)
            .map_err(|error| Fault::Talk(program(), error))?;
        let output = match output {
            Output::Whole(output) => output,
            Output::TooMuch => return Err(Fault::TooMuch(program(), MAX_ANSWER_BYTES)),
            Output::Late => return Err(Fault::Late(program(), self.limits.deadline)),
        };
        let out_of_memory = Fault::Limit(Limit::Memory(self.limits.memory));
        let is_silent = output.is_empty();
        match Answer::parse(&nonce, output) {
            Some(Answer::Code(code)) => Ok(code),
            Some(Answer::Invalid(why)) => Err(Fault::Invalid(why)),
            Some(Answer::Broken(why)) => Err(Fault::Broken(why)),
            Some(Answer::OutOfMemory) => Err(out_of_memory),
            Some(Answer::OtherBuild) => Err(Fault::OtherBuild(program())),
            Some(Answer::Unable(why)) => Err(Fault::Unable(program(), why)),
            None => Err(match ending(status, &errors) {
                Ending::Cpu => Fault::Limit(Limit::Cpu(Duration::from_secs(cpu))),
                Ending::Memory => out_of_memory,
                Ending::Told(how) => Fault::Told(program(), how),
                Ending::Killed(how) => Fault::Ended(program(), how),
                Ending::Exited(how) if is_silent => Fault::Ended(program(), how),
                Ending::Exited(how) => Fault::Garbage(program(), how),
            }),
        }
    }
}

/// Compiles in this process, as long as it takes.
fn here(engine: &LinkedEngine, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    engine.engine.precompile_component(bytes).map_err(|error| {
        Fault::Invalid(crate::context::cut(&format!("{error:#}"), MAX_WORDS_BYTES).to_owned())
    })
}

/// Whole seconds, as the system counts CPU time, and at least one.
fn whole_seconds(time: Duration) -> u64 {
    let part = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(part).max(1)
}

/// How a child ended that did not answer.
enum Ending {
    /// By the signal for too much CPU time.
    Cpu,
    /// It got no memory, and gave up.
    Memory,
    /// Somebody told it to: the service is stopped, or the system is short of memory, which the child's
    /// own limit is meant to prevent. The component need not be to blame.
    Told(String),
    Killed(String),
    Exited(String),
}

/// How a child ended. What it said is only to tell its own giving up from other aborts: whichever it
/// was, there is no code.
fn ending(status: Option<ExitStatus>, errors: &[u8]) -> Ending {
    let Some(status) = status else {
        return Ending::Killed("how it ended is not known".to_owned());
    };
    // `exit status: 3`, or `signal: 9 (SIGKILL)`.
    let how = match last_line(errors) {
        line if line.is_empty() => status.to_string(),
        line => format!("{status}: {line}"),
    };
    let is = |signal: Signal| status.signal() == Some(signal.as_raw());
    if is(Signal::XCPU) {
        Ending::Cpu
    } else if is(Signal::ABORT)
        && matches!(panic_message::find(errors), Some(LastWords::OutOfMemory(_)))
    {
        Ending::Memory
    } else if TOLD.into_iter().any(is) {
        Ending::Told(how)
    } else if status.signal().is_some() {
        Ending::Killed(how)
    } else {
        Ending::Exited(how)
    }
}

/// The last line that says something, safe to print.
fn last_line(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let line = line.escape_debug().to_string();
    crate::context::cut(&line, MAX_TOLD_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_seconds_count_as_one() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!([0, 1, 1_000, 1_001, 2_000].map(seconds), [1, 1, 1, 2, 2]);
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }

    #[test]
    fn ends_are_told_apart() {
        let by = |signal: i32, errors: &[u8]| ending(Some(ExitStatus::from_raw(signal)), errors);
        assert!(matches!(by(24, b""), Ending::Cpu));
        assert!(matches!(by(6, b"memory allocation of 12 bytes failed\n"), Ending::Memory));
        assert!(matches!(by(6, b"thread 'main' has overflowed its stack"), Ending::Killed(_)));
        assert!(matches!(by(11, b"memory allocation of 12 bytes failed\n"), Ending::Killed(_)));
        assert!(matches!(by(9, b"memory allocation of 12 bytes failed\n"), Ending::Told(_)));
        assert!(matches!(by(15, b""), Ending::Told(_)));
        assert!(matches!(by(3 << 8, b""), Ending::Exited(_)));
        assert!(matches!(ending(None, b""), Ending::Killed(_)));
        let Ending::Exited(how) = by(3 << 8, b"first\n\x1b[31mlast\n\n") else { panic!() };
        assert!(how.ends_with("3: \\u{1b}[31mlast"), "{how}");
    }
}
