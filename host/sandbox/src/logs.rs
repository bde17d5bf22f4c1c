//! The log of one run: lines of `sandmill:task/log`, of standard output and of standard error, in
//! one order and under one limit. How the streams reach this is in `stdio`.

use sandmill_core::{EventKind, Events, LogLevel, LogLine, LogSource};
use sandmill_wire::RunId;

/// Bytes of one line that are kept: 16 KiB. What is over is cut, and the cut marked with `…`.
pub const MAX_LOG_LINE_BYTES: usize = 16 << 10;

/// Bytes of the end of standard error that are kept aside, to find a panic message in.
const TAIL_BYTES: usize = 16 << 10;

/// Takes lines until the limit, then counts what it drops.
pub(crate) struct Logs {
    events: Events,
    run: RunId,
    limit: u64,
    left: u64,
    dropped: u64,
    stdout: Unfinished,
    stderr: Unfinished,
    tail: Vec<u8>,
    /// Lines are counted as ever, and go nowhere.
    is_silent: bool,
}

/// A line of a stream that has not come to its end.
#[derive(Default)]
struct Unfinished {
    bytes: Vec<u8>,
    cut: bool,
}

impl Logs {
    pub(crate) fn new(events: Events, run: RunId, limit: u64) -> Self {
        Self {
            events,
            run,
            limit,
            left: limit,
            dropped: 0,
            stdout: Unfinished::default(),
            stderr: Unfinished::default(),
            tail: Vec::new(),
            is_silent: false,
        }
    }

    /// Whether lines that end from now on go nowhere.
    pub(crate) const fn set_silent(&mut self, is_silent: bool) {
        self.is_silent = is_silent;
    }

    /// Takes a whole line. Line breaks inside of it stay.
    pub(crate) fn line(&mut self, source: LogSource, level: LogLevel, message: &str) {
        self.emit(source, level, message.as_bytes(), false);
    }

    /// Takes the next bytes of a stream. Never slow and never an error, however much it is.
    pub(crate) fn write(&mut self, source: LogSource, mut bytes: &[u8]) {
        if source == LogSource::Stderr {
            self.keep_tail(bytes);
        }
        while !bytes.is_empty() {
            if self.left == 0 {
                self.dropped = self.dropped.saturating_add(bytes.len() as u64);
                return;
            }
            let (part, ends) = match bytes.iter().position(|&byte| byte == b'\n') {
                Some(end) => (&bytes[..end], true),
                None => (bytes, false),
            };
            bytes = &bytes[part.len() + usize::from(ends)..];
            let line = self.unfinished(source);
            let room = MAX_LOG_LINE_BYTES.saturating_sub(line.bytes.len());
            let kept = &part[..part.len().min(room)];
            line.bytes.extend_from_slice(kept);
            line.cut |= kept.len() < part.len();
            self.dropped = self.dropped.saturating_add((part.len() - kept.len()) as u64);
            if ends {
                self.end_line(source);
            }
        }
    }

    /// Sends out unfinished lines, and says how much was dropped. Answers with the end of
    /// standard error.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        for source in [LogSource::Stdout, LogSource::Stderr] {
            if !self.unfinished(source).bytes.is_empty() {
                self.end_line(source);
            }
        }
        if self.dropped > 0 {
            let message = format!(
                "{} bytes of output were left out: a run's log has at most {}, a line {}",
                self.dropped,
                sandmill_core::units::format_size(self.limit),
                sandmill_core::units::format_size(MAX_LOG_LINE_BYTES as u64),
            );
            self.send(LogSource::Host, LogLevel::Warn, message);
            self.dropped = 0;
        }
        std::mem::take(&mut self.tail)
    }

    fn unfinished(&mut self, source: LogSource) -> &mut Unfinished {
        if source == LogSource::Stderr { &mut self.stderr } else { &mut self.stdout }
    }

    fn end_line(&mut self, source: LogSource) {
        let mut line = std::mem::take(self.unfinished(source));
        if line.bytes.last() == Some(&b'\r') {
            line.bytes.pop();
        }
        let level = if source == LogSource::Stderr { LogLevel::Warn } else { LogLevel::Info };
        self.emit(source, level, &line.bytes, line.cut);
        // Keep the room for the next line, so that many short ones cost no allocations.
        line.bytes.clear();
        line.cut = false;
        *self.unfinished(source) = line;
    }

    fn emit(&mut self, source: LogSource, level: LogLevel, bytes: &[u8], cut: bool) {
        // Each line costs its line break too, so that a million empty ones have an end.
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(MAX_LOG_LINE_BYTES);
        if self.left == 0 {
            self.dropped = self.dropped.saturating_add(bytes.len() as u64 + 1);
            return;
        }
        let kept = &bytes[..char_floor(bytes, room)];
        self.dropped = self.dropped.saturating_add((bytes.len() - kept.len()) as u64);
        self.left = self.left.saturating_sub(kept.len() as u64 + 1);
        let mut message = String::from_utf8_lossy(kept).into_owned();
        if cut || kept.len() < bytes.len() {
            message.push('…');
        }
        self.send(source, level, message);
    }

    fn send(&self, source: LogSource, level: LogLevel, message: String) {
        if !self.is_silent {
            self.events.emit(self.run, || EventKind::Log(LogLine { source, level, message }));
        }
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * TAIL_BYTES {
            self.tail.drain(..self.tail.len() - TAIL_BYTES);
        }
    }
}

/// The largest index up to `limit` that does not cut a UTF-8 character in two.
fn char_floor(bytes: &[u8], limit: usize) -> usize {
    if bytes.len() <= limit {
        return bytes.len();
    }
    let continues = |index: &usize| bytes[*index] & 0b1100_0000 == 0b1000_0000;
    let longest = limit.saturating_sub(3)..=limit;
    longest.rev().find(|index| !continues(index)).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use sandmill_core::Event;

    use super::*;

    fn collect(limit: u64, fill: impl FnOnce(&mut Logs)) -> (Vec<(LogSource, String)>, Vec<u8>) {
        let events = Events::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        events.observe(Arc::new(move |event: &Event| {
            if let EventKind::Log(line) = &event.kind {
                sink.lock().push((line.source, line.message.clone()));
            }
        }));
        let mut logs = Logs::new(events, RunId::new(), limit);
        fill(&mut logs);
        let tail = logs.finish();
        let lines = seen.lock().clone();
        (lines, tail)
    }

    #[test]
    fn lines_come_whole_however_they_are_written() {
        let (lines, tail) = collect(1000, |logs| {
            for byte in b"one\r\n\ntwo" {
                logs.write(LogSource::Stdout, &[*byte]);
            }
            logs.line(LogSource::Log, LogLevel::Info, "three");
            logs.write(LogSource::Stderr, b"\xff\xe2\x82");
        });
        let expected = [
            (LogSource::Stdout, "one"),
            (LogSource::Stdout, ""),
            (LogSource::Log, "three"),
            (LogSource::Stdout, "two"),
            (LogSource::Stderr, "\u{fffd}\u{fffd}"),
        ];
        assert_eq!(lines, expected.map(|(source, text)| (source, text.to_owned())));
        assert_eq!(tail, b"\xff\xe2\x82");
    }

    #[test]
    fn what_is_over_the_limit_is_dropped_and_counted() {
        let (lines, _) = collect(10, |logs| {
            logs.write(LogSource::Stdout, b"123456\n");
            logs.line(LogSource::Log, LogLevel::Info, "ab\u{20ac}f");
            logs.write(LogSource::Stdout, &[b'x'; 100_000]);
        });
        assert_eq!(lines[0].1, "123456");
        assert_eq!(lines[1].1, "ab…");
        assert_eq!(lines[2].0, LogSource::Host);
        assert!(lines[2].1.starts_with("100004 bytes"), "{}", lines[2].1);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_line_has_an_end_and_the_tail_too() {
        let (lines, tail) = collect(1 << 20, |logs| {
            for _ in 0..100 {
                logs.write(LogSource::Stderr, &[b'x'; 1000]);
            }
            logs.write(LogSource::Stderr, b"\nnext\n");
        });
        assert_eq!(lines[0].1.len(), MAX_LOG_LINE_BYTES + '…'.len_utf8());
        assert_eq!(lines[1].1, "next");
        assert!(tail.len() <= 2 * TAIL_BYTES && tail.ends_with(b"x\nnext\n"));
    }
}
