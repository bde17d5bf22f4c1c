//! A worker process, from the line that says it is ready to its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sandmill_test_artifacts::guest;
use serde_json::Value as Json;

use crate::support::{Place, document};

/// How long anything may take before a test fails.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A worker that is ready.
pub(crate) struct Running {
    child: Child,
    pub(crate) ready: Json,
    talk: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a worker with these arguments.
    pub(crate) fn start(place: &Place, args: &[&str]) -> Self {
        let mut child = place
            .command(&[&["-o", "json", "worker"], args].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let mut errors = child.stderr.take().expect("it is piped");
        // Read all the while, so that the worker never waits for room.
        let talk = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it can be read");
        let mut running = Self { child, ready: Json::Null, talk: Some(talk) };
        if line.is_empty() {
            let status = running.child.wait().expect("it can be waited for");
            panic!("the worker ended with {status}: {}", running.talk());
        }
        running.ready = document("worker", &line);
        running
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.ready["addresses"][0].as_str().expect("it is text").to_owned()
    }

    /// Where it serves HTTP.
    pub(crate) fn http(&self) -> &str {
        self.ready["http"].as_str().expect("it is text")
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// Waits for its end; its code, and all it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        let until = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(Instant::now() < until, "the worker did not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        (status.code().expect("it was not killed"), self.talk())
    }

    /// Tells it to leave, and waits for that.
    pub(crate) fn leave(self) -> (i32, String) {
        self.signal(rustix::process::Signal::TERM);
        self.end()
    }

    fn talk(&mut self) -> String {
        self.talk.take().map(|talk| talk.join().expect("it does not panic")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to a GET: its status and the rest of it.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(LONG)).expect("it can be set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("it can be sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it is answered");
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("it has a code");
    (status, text)
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "{what} took too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A place with the guest `probe` in it, where hosts that are not there are not waited for long.
pub(crate) fn place() -> Place {
    let place = Place::new();
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    place.write("sandmill.toml", "[remote]\nconnect_timeout = \"3s\"\n");
    place
}
