//! A call of the binary that goes on while the test does something else.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Called, LONG, command};

/// A call that was started and has not been waited for.
pub struct Background {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    started: Instant,
}

/// Starts the binary in `folder`.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn start_in(folder: &Path, arguments: &[&str]) -> Background {
    start(command(arguments).current_dir(folder))
}

/// Starts a command.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn start(command: &mut Command) -> Background {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command can be started");
    // Read as it comes: a full pipe would stop the child.
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let stdout = thread::spawn(move || {
        let mut text = String::new();
        out.as_mut().expect("it has one").read_to_string(&mut text).expect("it prints text");
        text
    });
    let stderr = thread::spawn(move || {
        let mut text = String::new();
        err.as_mut().expect("it has one").read_to_string(&mut text).expect("it prints text");
        text
    });
    let (stdout, stderr) = (Some(stdout), Some(stderr));
    Background { child, stdout, stderr, started: Instant::now() }
}

impl Background {
    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When that cannot be found out.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// Sends it a signal: `INT`, `KILL`, ….
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let (name, id) = (format!("-{name}"), self.child.id().to_string());
        let sent = Command::new("kill").args([name, id]).status();
        assert!(sent.expect("kill can be called").success(), "the signal was not sent");
    }

    /// Waits for it to end.
    ///
    /// # Panics
    /// When it takes longer than [`LONG`].
    #[must_use]
    pub fn wait(mut self) -> Called {
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                break status;
            }
            assert!(asked.elapsed() < LONG, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        let text = |thread: Option<JoinHandle<String>>| {
            thread.map(|thread| thread.join().expect("it was read")).unwrap_or_default()
        };
        Called {
            code: status.code(),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Nothing goes on behind the back of a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until `found` finds something.
///
/// # Panics
/// When that takes longer than [`LONG`].
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let asked = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(asked.elapsed() < LONG, "{what} does not happen");
        thread::sleep(Duration::from_millis(10));
    }
}
