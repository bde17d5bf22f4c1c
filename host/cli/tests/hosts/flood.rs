//! Strangers who come again and again, at a worker whose log nobody reads.

use std::io::{BufRead as _, BufReader, PipeWriter, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

use crate::running::{LONG, get, place};
use crate::support::document;

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Leaves no room in a pipe. Whoever writes to it then waits, as it would for a reader that is slow.
fn fill(pipe: &mut PipeWriter) {
    let flags = fcntl_getfl(&*pipe).expect("it has flags");
    fcntl_setfl(&*pipe, flags | OFlags::NONBLOCK).expect("they can be set");
    while pipe.write(b"x").is_ok() {}
    fcntl_setfl(&*pipe, flags).expect("they can be set");
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let place = place();
    let token = place.run(&["cert", "token"]);
    assert_eq!(token.code, 0, "{}", token.stderr);
    place.write("join", token.stdout.trim());
    let (log, mut write) = std::io::pipe().expect("there are pipes");
    let serve = ["worker", "--listen", "tls://127.0.0.1:0", "--token", "@join", "--http", "0"];
    let worker = place
        .command(&[&["-o", "json"], &serve[..]].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(write.try_clone().expect("it can be shared"))
        .spawn()
        .expect("the binary can be started");
    let mut worker = Killed(worker);
    let mut line = String::new();
    let stdout = worker.0.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("it can be read");
    let ready = document("worker", &line);
    let text = |json: &serde_json::Value| json.as_str().expect("it is text").to_owned();
    let (address, http) = (text(&ready["addresses"][0]), text(&ready["http"]));
    // What it says last before it serves comes after the line on stdout.
    let mut log = BufReader::new(log);
    let mut said = String::new();
    while !said.contains("/metrics") {
        assert!(log.read_line(&mut said).expect("it can be read") > 0, "{said}");
    }
    fill(&mut write);

    let at = address.strip_prefix("tls://").expect("it is one");
    for _ in 0..200 {
        drop(TcpStream::connect(at).expect("it listens"));
    }
    // Those were seen: a connection that comes later is served.
    let listed = place.run(&["workers", "--host", &address, "--token", "@join"]);
    assert_eq!(listed.code, 0, "{}{}", listed.stdout, listed.stderr);
    assert_eq!(get(&http, "/healthz").0, 200);

    kill_process(Pid::from_child(&worker.0), Signal::TERM).expect("it is there");
    let until = Instant::now() + LONG;
    let status = loop {
        if let Some(status) = worker.0.try_wait().expect("it can be waited for") {
            break status;
        }
        assert!(Instant::now() < until, "the worker did not leave");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    drop(log);
}
