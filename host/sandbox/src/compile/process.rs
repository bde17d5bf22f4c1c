//! One child process that compiles: started, asked, listened to within bounds, and ended. What is
//! asked and what the answer means is in `compiler`.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::command::CompileCommand;

/// Threads that a child which compiles has at most: each needs room of its own.
pub const COMPILE_THREADS: usize = 8;
/// Bytes of what such a child writes to its standard error that are kept, the last ones: 16 KiB.
/// They are looked at when it ends without an answer, and never believed.
pub const MAX_COMPILE_STDERR: usize = 16 << 10;
/// How long a child may take to end once it has closed its standard output, and again once it was
/// killed: 5 s. One that is not gone then hangs in the kernel, and is left.
pub const COMPILE_KILL_GRACE: Duration = Duration::from_secs(5);

/// The variables of this process's environment that the child has too: where programs and their
/// libraries are. It needs no others, and others may be secrets.
const KEPT_VARIABLES: [&str; 2] = ["PATH", "LD_LIBRARY_PATH"];
/// Tells the library that the compiler uses how many threads to start.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";
/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// The longest wait at a time for a pipe.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a wait for the end of a child looks whether it is over.
const LOOK: Duration = Duration::from_micros(500);

/// How a child ended, and what it wrote.
pub(crate) struct Ended {
    pub(crate) output: Output,
    /// None when it is not known.
    pub(crate) status: Option<ExitStatus>,
    /// The end of its standard error.
    pub(crate) errors: Vec<u8>,
}

/// What a child wrote to its standard output.
pub(crate) enum Output {
    /// This, and then it closed it.
    Whole(Vec<u8>),
    /// More than it may.
    TooMuch,
    /// It had not closed it by the deadline.
    Late,
}

/// A child, killed and waited for at the latest when this is dropped.
pub(crate) struct Process {
    child: Option<Child>,
}

impl Process {
    /// Starts one.
    pub(crate) fn start(command: &CompileCommand) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let kept =
            KEPT_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(kept)
            .env(THREADS_VARIABLE, threads.min(COMPILE_THREADS).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // So that a terminal's Ctrl-C is for its host to judge, and that what it starts itself
            // goes when it does.
            .process_group(0)
            .spawn()?;
        Ok(Self { child: Some(child) })
    }

    /// Writes `question` to the child and takes no more than `limit` bytes from it, until it has
    /// closed its output or the deadline has come, where there is one. Then it is ended.
    ///
    /// # Errors
    /// When its pipes cannot be used.
    pub(crate) fn ask(
        mut self,
        question: &[&[u8]],
        limit: usize,
        deadline: Option<Instant>,
    ) -> io::Result<Ended> {
        let Some(mut child) = self.child.take() else { return Err(ErrorKind::NotFound.into()) };
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        self.child = Some(child);
        let (Some(input), Some(output), Some(errors)) = streams else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let mut talk = Talk::new(input, output, errors, question)?;
        let output = talk.until(limit, deadline)?;
        let errors = std::mem::take(&mut talk.told);
        // What is open of it is closed now, so that nothing of it waits for this side.
        drop(talk);
        let patience =
            if matches!(output, Output::Whole(_)) { COMPILE_KILL_GRACE } else { Duration::ZERO };
        let status = self.end(patience);
        Ok(Ended { output, status, errors })
    }

    /// Waits for the child to end by itself, kills what is left of it and of what it started, and
    /// says how it ended.
    fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
        if wait_unreaped(pid, patience) == Waited::Reaped {
            return None;
        }
        // It has not been reaped yet, so the number is still its own and its group's.
        let _gone_already = rustix::process::kill_process_group(pid, Signal::KILL);
        let _gone_already = child.kill();
        if wait_unreaped(pid, COMPILE_KILL_GRACE) == Waited::Ended {
            return child.wait().ok();
        }
        // Without a thread it stays in the list of processes for as long as this one runs.
        let name = "sandmill-compile-left".to_owned();
        let _unjoined = std::thread::Builder::new().name(name).spawn(move || child.wait());
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// What a wait for a child came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// It has ended, and can be asked how.
    Ended,
    Running,
    /// Somebody else was told of its end: a program that ignores the ends of its children, or waits for
    /// all of them. Its number may be another process's by now.
    Reaped,
}

/// Waits for the child to end; it is not reaped.
fn wait_unreaped(pid: Pid, patience: Duration) -> Waited {
    let begun = Instant::now();
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    loop {
        match rustix::process::waitid(WaitId::Pid(pid), options) {
            Ok(Some(_)) => return Waited::Ended,
            Err(Errno::CHILD) => return Waited::Reaped,
            Ok(None) | Err(Errno::INTR) if begun.elapsed() < patience => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => return Waited::Running,
        }
    }
}

/// The pipes of a child. None of them is waited for alone, so neither side blocks the other.
struct Talk<'a> {
    input: Option<ChildStdin>,
    output: ChildStdout,
    errors: Option<ChildStderr>,
    /// What is left to write.
    question: Vec<&'a [u8]>,
    told: Vec<u8>,
}

impl<'a> Talk<'a> {
    fn new(
        input: ChildStdin,
        output: ChildStdout,
        errors: ChildStderr,
        question: &[&'a [u8]],
    ) -> io::Result<Self> {
        unblock(&input)?;
        unblock(&output)?;
        unblock(&errors)?;
        let question = question.iter().rev().copied().collect();
        Ok(Self { input: Some(input), output, errors: Some(errors), question, told: Vec::new() })
    }

    fn until(&mut self, limit: usize, deadline: Option<Instant>) -> io::Result<Output> {
        let mut answer = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let now = Instant::now();
            let left = deadline.map_or(LONGEST_WAIT, |at| at.saturating_duration_since(now));
            self.wait(left.min(LONGEST_WAIT))?;
            self.write()?;
            self.hear(&mut chunk)?;
            // As much as is there, so that a large answer takes few turns.
            while let Some(read) = unless_blocked(self.output.read(&mut chunk))? {
                if read == 0 {
                    self.hear(&mut chunk)?;
                    return Ok(Output::Whole(answer));
                }
                if answer.len() + read > limit {
                    return Ok(Output::TooMuch);
                }
                answer.extend_from_slice(&chunk[..read]);
            }
            // Only now: where this process stood still, the answer may be there.
            if left.is_zero() {
                return Ok(Output::Late);
            }
        }
    }

    /// Waits until one of the pipes can be used.
    fn wait(&self, left: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut pipes = vec![PollFd::new(&self.output, PollFlags::IN)];
        if let Some(errors) = &self.errors {
            pipes.push(PollFd::new(errors, PollFlags::IN));
        }
        if let Some(input) = &self.input {
            pipes.push(PollFd::new(input, PollFlags::OUT));
        }
        match poll(&mut pipes, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what there is room for.
    fn write(&mut self) -> io::Result<()> {
        while let (Some(input), Some(bytes)) = (&mut self.input, self.question.last_mut()) {
            match unless_blocked(input.write(bytes)) {
                Ok(Some(written)) => *bytes = &bytes[written..],
                Ok(None) => return Ok(()),
                // It need not read all to answer; what it says without that is looked at.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.question.clear(),
                Err(error) => return Err(error),
            }
            if self.question.last().is_some_and(|bytes| bytes.is_empty()) {
                self.question.pop();
            }
        }
        // It is told that this is all.
        self.input = None;
        Ok(())
    }

    /// Takes what it writes to its standard error, and keeps the end of that.
    fn hear(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        // No more at a time than fits a pipe, so that one that never stops does not hold this up.
        for _ in 0..2 {
            let Some(errors) = &mut self.errors else { return Ok(()) };
            match unless_blocked(errors.read(chunk))? {
                None => return Ok(()),
                Some(0) => self.errors = None,
                Some(read) => {
                    self.told.extend_from_slice(&chunk[..read]);
                    let beyond = self.told.len().saturating_sub(MAX_COMPILE_STDERR);
                    self.told.drain(..beyond);
                }
            }
        }
        Ok(())
    }
}

fn unblock(pipe: impl std::os::fd::AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&pipe)?;
    Ok(rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?)
}

/// None where it would have to wait, or was interrupted.
fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
