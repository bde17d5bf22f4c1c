//! Lines at the bottom of the terminal that are drawn again and again, with text passing by above.
//!
//! Not indicatif: it leaves the cursor at the right edge, where the `^C` that the terminal itself
//! writes wraps, and then one line too few is taken off the screen.

use std::fmt::Write as _;

use console::Term;

/// Lines at the bottom of stderr's terminal.
#[derive(Debug)]
pub(crate) struct Canvas {
    term: Term,
    lines: Vec<String>,
    /// Lines that are on the screen above the cursor.
    drawn: usize,
}

impl Canvas {
    /// A canvas with nothing on it.
    pub(crate) fn new() -> Self {
        Self { term: Term::stderr(), lines: Vec::new(), drawn: 0 }
    }

    /// Puts these lines on the screen in place of those that were. Each must fit the width.
    pub(crate) fn draw(&mut self, lines: Vec<String>) {
        if lines != self.lines {
            self.lines = lines;
            self.redraw("");
        }
    }

    /// Writes lines of text above.
    pub(crate) fn write_above(&mut self, text: &str) {
        self.redraw(&format!("{text}\n"));
    }

    /// Calls `write` while nothing is on the screen, so that it may write there.
    pub(crate) fn around<T>(&mut self, write: impl FnOnce() -> T) -> T {
        self.erase();
        let written = write();
        self.redraw("");
        written
    }

    /// Takes everything off the screen.
    pub(crate) fn erase(&mut self) {
        let text = self.to_start();
        self.drawn = 0;
        self.put(&text);
    }

    fn redraw(&mut self, above: &str) {
        let mut text = self.to_start();
        text.push_str(above);
        // More lines than the terminal has could not be taken off it again.
        let room = usize::from(self.term.size().0).saturating_sub(2).max(1);
        self.drawn = self.lines.len().min(room);
        for line in &self.lines[..self.drawn] {
            text.push_str(line);
            text.push('\n');
        }
        self.put(&text);
    }

    /// To the first line that is drawn, and everything from there on off the screen.
    fn to_start(&self) -> String {
        let mut text = String::from("\r");
        if self.drawn > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "\u{1b}[{}A", self.drawn);
        }
        text.push_str("\u{1b}[J");
        text
    }

    /// One write, so that nothing is seen half drawn.
    fn put(&self, text: &str) {
        // A terminal that has gone is not worth an error: the runs go on.
        let _ = self.term.write_str(text);
    }
}
