//! A process of the binary that goes on while a test does something else; what it says is kept in a
//! file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A process, killed when it goes.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    started: Instant,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Process {
    /// Starts a command; what it says goes to files in `folder` that begin with `name`, after what
    /// others of that name said.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, folder: &Path, name: &str) -> Self {
        let (stdout, stderr) =
            (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let open = |path: &Path| -> File {
            let opened = File::options().create(true).append(true).open(path);
            opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let command = command.stdin(Stdio::null()).stdout(open(&stdout)).stderr(open(&stderr));
        let child = command.spawn().expect("the command can be started");
        Self { child, stdout, stderr, started: Instant::now() }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When that cannot be found out.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// What it has said on standard error.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// What it has written on standard output.
    #[must_use]
    pub fn written(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Waits for it to end.
    ///
    /// # Panics
    /// When it takes longer than `patience`.
    #[must_use]
    pub fn wait(mut self, patience: Duration) -> Ended {
        let asked = Instant::now();
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                break status;
            }
            assert!(asked.elapsed() < patience, "it does not end:\n{}", self.said());
            thread::sleep(Duration::from_millis(10));
        };
        Ended {
            code: status.code(),
            stdout: self.written(),
            stderr: self.said(),
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing goes on behind the back of a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The last line of what it wrote.
    #[must_use]
    pub fn last_line(&self) -> &str {
        self.stdout.lines().next_back().unwrap_or_default().trim()
    }

    /// The document that this line is.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn document(&self) -> Value {
        serde_json::from_str(self.last_line()).expect("what it wrote is a document")
    }

    /// The same, if the exit code is this one.
    ///
    /// # Panics
    /// When it is another.
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}
