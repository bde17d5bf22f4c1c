//! Lines on their way to whoever reads a worker's log. Whoever has one to write never waits for
//! that: stderr may be a pipe that nobody reads. What does not fit is left out, and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{CliError, Result};
use crate::text::counted;

/// Lines that wait; more are left out.
const MAX_LINES: usize = 1_024;
/// Bytes of lines that wait; more are left out: 1 MiB.
const MAX_BYTES: usize = 1 << 20;

/// Lines that one thread writes, one after the other.
pub(super) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Rung when there is something to write, or nothing will come any more.
    come: Condvar,
    /// Rung when all is written.
    written: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    bytes: usize,
    /// Lines that did not fit since the last one that did.
    left_out: u64,
    /// Whether one is being written.
    writing: bool,
    /// Whether no more will come.
    over: bool,
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.left_out == 0 && !self.writing
    }

    /// What is written next: what was left out is told of once there is room again.
    fn next(&mut self) -> Option<String> {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= line.len();
            return Some(line);
        }
        let left_out = std::mem::take(&mut self.left_out);
        (left_out > 0).then(|| {
            let lines = counted(left_out, "line");
            format!("{lines} left out of this log: nobody took them in time")
        })
    }
}

impl Lines {
    /// Has a thread of its own give lines to `write`, which may take its time.
    pub(super) fn new(mut write: impl FnMut(String) + Send + 'static) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("sandmill-log".to_owned())
            .spawn(move || own.write_all(&mut write))
            .map_err(|error| CliError::infrastructure("no thread to be had").detail(error))?;
        Ok(Self(shared))
    }

    /// Has a line written, if there is room for it.
    pub(super) fn push(&self, line: String) {
        let mut queue = self.0.queue();
        // Once some were left out, it is told so before anything else comes.
        let fits = queue.lines.len() < MAX_LINES && queue.bytes + line.len() <= MAX_BYTES;
        if fits && queue.left_out == 0 {
            queue.bytes += line.len();
            queue.lines.push_back(line);
        } else {
            queue.left_out += 1;
        }
        drop(queue);
        self.0.come.notify_one();
    }

    /// Waits until all is written, but not longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut queue = self.0.queue();
        while !queue.is_idle() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.written.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.0.queue().over = true;
        self.0.come.notify_one();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, write: &mut impl FnMut(String)) {
        let mut queue = self.queue();
        loop {
            if let Some(line) = queue.next() {
                queue.writing = true;
                drop(queue);
                write(line);
                queue = self.queue();
                queue.writing = false;
                continue;
            }
            self.written.notify_all();
            if queue.over {
                return;
            }
            queue = self.come.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Lines that are written one by one, as they are received.
    fn slow() -> (Lines, mpsc::Receiver<String>) {
        let (write, written) = mpsc::sync_channel(0);
        let lines = Lines::new(move |line| drop(write.send(line))).expect("a thread");
        (lines, written)
    }

    #[test]
    fn whoever_writes_does_not_wait_and_is_told_of_what_was_left_out() {
        let (lines, written) = slow();
        for n in 0..10 * MAX_LINES {
            lines.push(n.to_string());
        }
        lines.flush(Duration::from_millis(10));
        let mut texts: Vec<String> = Vec::new();
        while texts.last().is_none_or(|text| !text.contains("left out")) {
            texts.push(written.recv().expect("the thread lives"));
        }
        let told = texts.pop().expect("it was looked for");
        assert!(texts.len() <= MAX_LINES + 1, "{} lines were kept", texts.len());
        let is_in_order = texts.iter().enumerate().all(|(n, text)| *text == n.to_string());
        assert!(is_in_order, "{texts:?}");
        let missing = counted((10 * MAX_LINES - texts.len()) as u64, "line");
        assert!(told.starts_with(&format!("{missing} left out")), "{told}");
        lines.push("again".to_owned());
        assert_eq!(written.recv().as_deref(), Ok("again"));
        lines.flush(Duration::from_secs(60));
        drop(lines);
        assert!(written.recv().is_err(), "the thread has ended");
    }

    #[test]
    fn long_lines_are_bounded_by_their_bytes() {
        let (lines, written) = slow();
        for _ in 0..10 {
            lines.push("x".repeat(MAX_BYTES / 2));
        }
        let mut kept = 0;
        while !written.recv().expect("the thread lives").contains("left out") {
            kept += 1;
        }
        // Two that wait, and one that may have been on its way.
        assert!(kept <= 3, "{kept} lines were kept");
    }
}
