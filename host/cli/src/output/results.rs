//! Results on their way to stdout: buffered, and written around the live display.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use super::ui::Ui;
use crate::error::CliError;

/// Bytes that are kept back before they are written.
const BUFFER_BYTES: usize = 64 << 10;
/// How long a result is kept back while others follow.
const BUFFER_TIME: Duration = Duration::from_millis(100);

/// Writes results to stdout. What is written comes out when the buffer is full, after a tenth of
/// a second when more is written, and with [`Results::flush`].
pub(crate) struct Results<'a> {
    ui: &'a Ui,
    buffer: Vec<u8>,
    flushed: Instant,
}

impl<'a> Results<'a> {
    /// A writer of results.
    pub(crate) fn new(ui: &'a Ui) -> Self {
        Self { ui, buffer: Vec::with_capacity(BUFFER_BYTES), flushed: Instant::now() }
    }

    /// Adds a line, which `write` writes without its end.
    pub(crate) fn line(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        write(&mut self.buffer)?;
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES || self.flushed.elapsed() >= BUFFER_TIME {
            self.flush()?;
        }
        Ok(())
    }

    /// Whether something is kept back that should come out now.
    pub(crate) fn is_due(&self) -> bool {
        !self.buffer.is_empty() && self.flushed.elapsed() >= BUFFER_TIME
    }

    /// Writes everything out.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let buffer = &mut self.buffer;
        let written = self.ui.around_live(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(buffer)?;
            stdout.flush()
        });
        self.buffer.clear();
        self.flushed = Instant::now();
        written
    }

    /// Writes one text and everything before it out.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), CliError> {
        self.line(|out| out.write_all(text.as_bytes()))
            .and_then(|()| self.flush())
            .or_else(unless_broken)
    }
    /// Writes one JSON document on a line and everything before it out.
    pub(crate) fn json(&mut self, document: &impl serde::Serialize) -> Result<(), CliError> {
        self.line(|out| serde_json::to_writer(out, document).map_err(io::Error::from))
            .and_then(|()| self.flush())
            .or_else(unless_broken)
    }

    /// Writes bytes as they are, with nothing after them.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.buffer.extend_from_slice(bytes);
        self.flush().or_else(unless_broken)
    }
}

/// Whether the reader of stdout has gone: `… | head`. That is no error of ours.
pub(crate) fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

fn unless_broken(error: io::Error) -> Result<(), CliError> {
    if is_broken_pipe(&error) { Ok(()) } else { Err(cannot_write(&error)) }
}

/// Stdout does not take what is written: a full disk, for example.
pub(crate) fn cannot_write(error: &io::Error) -> CliError {
    CliError::infrastructure("results cannot be written to stdout").detail(error)
}
