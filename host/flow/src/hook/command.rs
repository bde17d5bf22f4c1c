//! Runs a command of the host: with its own process group, a time limit, and bounded output.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::executor::block_on;
use futures_timer::Delay;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use sandmill_core::{CancelToken, EventKind, Events, LogLevel, LogLine, LogSource};
use sandmill_wire::{End, EndKind, Failure, Outcome, RunId, Value};

use super::facts::Facts;
use super::last_words::LastWords;

/// Most bytes of a hook's output that go to its flow's log, both streams together: 1 MiB. What is
/// beyond is read and left out.
pub const MAX_HOOK_OUTPUT: usize = 1 << 20;
/// Most bytes of one line of it: 16 KiB. A longer one becomes several.
pub const MAX_HOOK_LINE: usize = 16 << 10;
/// How long the rest of a hook's output is waited for when its process has ended, where something
/// that has left its process group holds on to the pipe: 1 s.
pub const HOOK_OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// How long the end of a hook's process is waited for when it was killed: 5 s. One that is not gone
/// by then cannot be killed (it has become another user's, or hangs in the kernel), and is left.
pub const HOOK_KILL_GRACE: Duration = Duration::from_secs(5);
/// How often a wait for the end of a process that was killed looks whether it is over.
const LOOK_UP: Duration = Duration::from_millis(2);

/// The kind of failure of a command that ended with something else than zero.
const COMMAND_FAILED: &str = "command-failed";

/// Runs a command until it ends, `timeout` is over or `stop` is set; then its process
/// group is killed. What it writes goes to the log of the flow's run.
pub(crate) fn run_command(
    argv: &[String],
    directory: &Path,
    facts: &Facts,
    timeout: Duration,
    stop: &CancelToken,
    events: &Events,
) -> Outcome {
    run_killed_by(kill, argv, directory, facts, timeout, stop, events)
}

/// Kills a command, and its process group with it.
type Kill = fn(&mut Child) -> io::Result<()>;

/// As [`run_command`].
fn run_killed_by(
    kill: Kill,
    argv: &[String],
    directory: &Path,
    facts: &Facts,
    timeout: Duration,
    stop: &CancelToken,
    events: &Events,
) -> Outcome {
    let Some((program, arguments)) = argv.split_first() else {
        return End::new(EndKind::Refused, "the hook names no program").into();
    };
    let refused = |error: &dyn std::fmt::Display| {
        End::new(EndKind::Refused, format!("`{program}` could not be started: {error}")).into()
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(facts.variables())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if !directory.as_os_str().is_empty() {
        command.current_dir(directory);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return refused(&error),
    };
    let id = child.id();
    let readers = attend(&mut child, facts, events);
    let end = wait(&child, timeout, stop);
    // What it left behind in its group ends with it, however it ended itself. It has not been
    // reaped yet, so the number is still its own.
    let killed = kill(&mut child);
    let Some(status) = reap(&mut child, HOOK_KILL_GRACE) else {
        leave(child);
        let why = killed.err().map(|error| format!(": {error}")).unwrap_or_default();
        let grace = sandmill_core::units::format_duration(HOOK_KILL_GRACE);
        let cause = match end {
            Waited::Stopped => "its flow stopped".to_owned(),
            Waited::Exited | Waited::TimedOut => {
                let within = sandmill_core::units::format_duration(timeout);
                format!("it was not done within {within}")
            }
        };
        let what = format!(
            "`{program}` (process {id}) was killed because {cause}, and was not gone {grace} \
             later{why}; it may still run"
        );
        return End::new(EndKind::HostError, what).into();
    };
    let last_words = readers.finish();
    match end {
        Waited::Exited => match status {
            Ok(status) => outcome(program, status, &last_words),
            Err(error) => {
                let what = format!("how `{program}` ended could not be found out: {error}");
                End::new(EndKind::HostError, what).into()
            }
        },
        Waited::TimedOut => {
            let within = sandmill_core::units::format_duration(timeout);
            let what = format!("`{program}` was not done within {within}, and was killed");
            End::new(EndKind::TimedOut, what).into()
        }
        Waited::Stopped => {
            End::new(EndKind::Cancelled, format!("`{program}` was stopped with its flow")).into()
        }
    }
}

/// Kills a process and its group. One that has left its group is killed by itself.
fn kill(child: &mut Child) -> io::Result<()> {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // There is none any more where the process has ended, or has left it.
        let _gone_already = rustix::process::kill_process_group(group, Signal::KILL);
    }
    child.kill()
}

/// Waits for the end of a process that was killed; none when it is not gone after `grace`.
fn reap(child: &mut Child, grace: Duration) -> Option<io::Result<ExitStatus>> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(Ok(status)),
            Err(error) => return Some(Err(error)),
            Ok(None) if begun.elapsed() >= grace => return None,
            Ok(None) => std::thread::sleep(LOOK_UP),
        }
    }
}

/// Leaves a process that cannot be killed to a thread that reaps it when it ends after all.
fn leave(mut child: Child) {
    // Without a thread it stays in the list of processes for as long as this one runs.
    let name = "sandmill-hook-left".to_owned();
    let _unjoined = std::thread::Builder::new().name(name).spawn(move || child.wait());
}

fn outcome(program: &str, status: ExitStatus, last_words: &str) -> Outcome {
    if status.success() {
        return Outcome::Value(Value::nil());
    }
    // `exit status: 3`, or `signal: 9 (SIGKILL)`.
    let mut what = format!("`{program}` ended with {status}");
    if !last_words.is_empty() {
        what.push_str(": ");
        what.push_str(last_words);
    }
    Outcome::Failure(Failure::new(COMMAND_FAILED, what))
}

/// What ended the wait for a command.
enum Waited {
    Exited,
    TimedOut,
    Stopped,
}

/// Waits for the end of a child without reaping it, so that its number stays its own.
fn wait(child: &Child, timeout: Duration, stop: &CancelToken) -> Waited {
    let (sender, mut ended) = oneshot::channel::<()>();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let waiter = std::thread::Builder::new().name("sandmill-hook".to_owned()).spawn(move || {
        if let Some(pid) = pid {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(
                rustix::process::waitid(WaitId::Pid(pid), options),
                Err(rustix::io::Errno::INTR)
            ) {}
        }
        drop(sender);
    });
    if waiter.is_err() {
        // There is no thread to be had, so there is nobody to wait with: it is stopped.
        return Waited::Stopped;
    }
    let mut timer = Delay::new(timeout);
    block_on(std::future::poll_fn(|context| {
        if ended.poll_unpin(context).is_ready() {
            return Poll::Ready(Waited::Exited);
        }
        if stop.poll_cancelled(context).is_ready() {
            return Poll::Ready(Waited::Stopped);
        }
        timer.poll_unpin(context).map(|()| Waited::TimedOut)
    }))
}

/// The threads that read what a command writes.
struct Readers {
    /// Nothing is ever sent: the channel ends with the last reader.
    ended: Receiver<()>,
    last_words: Arc<Mutex<LastWords>>,
}

impl Readers {
    /// Waits until all has been read, or [`HOOK_OUTPUT_GRACE`] is over; the last lines of the
    /// command's standard error.
    fn finish(self) -> String {
        let _ended = self.ended.recv_timeout(HOOK_OUTPUT_GRACE);
        self.last_words.lock().text()
    }
}

/// Writes the facts to a command's input, and reads its output into the log of the flow's run.
fn attend(child: &mut Child, facts: &Facts, events: &Events) -> Readers {
    let (sender, receiver) = channel();
    let spawn = |job: Box<dyn FnOnce() + Send>| {
        // Without a thread the pipe is closed, which the command may notice.
        let _unjoined = std::thread::Builder::new().name("sandmill-hook-io".to_owned()).spawn(job);
    };
    if let Some(mut input) = child.stdin.take() {
        let text = format!("{}\n", facts.json());
        spawn(Box::new(move || {
            // A command need not read its input.
            let _unread = input.write_all(text.as_bytes());
        }));
    }
    let left = Arc::new(AtomicUsize::new(MAX_HOOK_OUTPUT));
    let last_words: Arc<Mutex<LastWords>> = Arc::default();
    let log = |source| Log {
        run: facts.run,
        events: events.clone(),
        left: Arc::clone(&left),
        source,
        last_words: Arc::clone(&last_words),
    };
    let guard = |sender: &Sender<()>| sender.clone();
    if let Some(output) = child.stdout.take() {
        let (log, guard) = (log(LogSource::Stdout), guard(&sender));
        spawn(Box::new(move || log.read(output, guard)));
    }
    if let Some(errors) = child.stderr.take() {
        let (log, guard) = (log(LogSource::Stderr), guard(&sender));
        spawn(Box::new(move || log.read(errors, guard)));
    }
    Readers { ended: receiver, last_words }
}

/// One stream of a command's output, on its way to a log.
struct Log {
    run: RunId,
    events: Events,
    left: Arc<AtomicUsize>,
    source: LogSource,
    last_words: Arc<Mutex<LastWords>>,
}

impl Log {
    /// Reads until the stream ends; `guard` goes when it has.
    fn read(&self, stream: impl Read, guard: Sender<()>) {
        let mut stream = BufReader::new(stream);
        let (mut line, mut told) = (Vec::new(), false);
        let limit = MAX_HOOK_LINE as u64;
        while let Ok(read @ 1..) = stream.by_ref().take(limit).read_until(b'\n', &mut line) {
            let all = self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(read));
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if self.source == LogSource::Stderr {
                self.last_words.lock().add(&String::from_utf8_lossy(text));
            }
            if all.is_ok() {
                self.line(self.source, String::from_utf8_lossy(text).into_owned());
            } else if !std::mem::replace(&mut told, true) {
                let most = sandmill_core::units::format_size(MAX_HOOK_OUTPUT as u64);
                let what = format!("the hook wrote more than {most}; the rest is left out");
                self.line(LogSource::Host, what);
            }
            line.clear();
        }
        drop(guard);
    }

    fn line(&self, source: LogSource, message: String) {
        let level = match source {
            LogSource::Host | LogSource::Stderr => LogLevel::Warn,
            LogSource::Log | LogSource::Stdout => LogLevel::Info,
        };
        self.events.emit(self.run, || EventKind::Log(LogLine { source, level, message }));
    }
}

#[cfg(test)]
mod tests {
    use sandmill_core::{State, Timestamp};

    use super::super::last_words::{HOOK_LAST_LINE, HOOK_LAST_LINES};
    use super::*;

    fn run(kill: Kill, script: &str, timeout: Duration, stop: &CancelToken) -> Outcome {
        let state = State::running(Timestamp::from_micros(0));
        let facts = Facts { flow: "test".into(), run: RunId::new(), state };
        let argv = ["sh", "-c", script].map(str::to_owned);
        run_killed_by(kill, &argv, Path::new(""), &facts, timeout, stop, &Events::default())
    }

    #[test]
    fn a_process_that_cannot_be_killed_is_left_with_words() {
        let refused: Kill = |_| Err(io::Error::from_raw_os_error(1));
        let stopped = CancelToken::new();
        stopped.cancel();
        let short = Duration::from_millis(20);
        let both = std::thread::scope(|scope| {
            let late = scope.spawn(|| run(refused, "exec sleep 30", short, &CancelToken::new()));
            let stopped = scope.spawn(|| run(refused, "exec sleep 30", HOOK_KILL_GRACE, &stopped));
            [(late.join().unwrap(), "within 20ms"), (stopped.join().unwrap(), "its flow stopped")]
        });
        for (outcome, why) in both {
            let Outcome::Ended(end) = outcome else { panic!("{outcome:?}") };
            assert_eq!(end.kind, EndKind::HostError);
            let words = ["`sh` (process ", why, "not gone 5s later", "may still run"];
            assert!(words.iter().all(|word| end.message.contains(word)), "{end}");
            assert!(end.message.contains("ermitted"), "{end}");
        }
    }

    #[test]
    fn a_failure_has_the_last_lines_of_its_standard_error() {
        let words =
            |script: &str| match run(kill, script, Duration::from_secs(60), &CancelToken::new()) {
                Outcome::Failure(failure) => failure.message,
                other => panic!("{other:?}"),
            };
        assert_eq!(words("exit 3"), "`sh` ended with exit status: 3");
        let many = "echo quiet; for n in 1 2 3 4 5; do echo line $n >&2; echo >&2; done; exit 3";
        assert_eq!(words(many), "`sh` ended with exit status: 3: line 3 / line 4 / line 5");
        let hostile = words("printf '\\033[31mred\\342\\200\\256' >&2; exit 1");
        assert!(hostile.ends_with(": \\u{1b}[31mred\\u{202e}"), "{hostile}");
        let long = words("head -c 3000000 /dev/zero | tr '\\0' é >&2; echo >&2; exit 1");
        assert!(long.len() < 6 * (HOOK_LAST_LINE + 4) * HOOK_LAST_LINES, "{}", long.len());
        assert!(long.contains('…'), "{long}");
    }

    #[test]
    fn one_that_has_left_its_group_is_killed_by_itself() {
        // A command may join the group of whoever started it: then it has none of its own.
        let only_the_process: Kill = |child| child.kill();
        for kill in [kill as Kill, only_the_process] {
            let short = Duration::from_millis(20);
            let outcome = run(kill, "exec sleep 300", short, &CancelToken::new());
            let Outcome::Ended(end) = outcome else { panic!("{outcome:?}") };
            assert_eq!(end.kind, EndKind::TimedOut, "{end}");
        }
        assert_eq!(run(kill, "exit 0", HOOK_KILL_GRACE, &CancelToken::new()), {
            Outcome::Value(Value::nil())
        });
    }
}
