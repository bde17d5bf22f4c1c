//! Shows what is going on while a command runs: a live display on a terminal, plain lines
//! elsewhere, nothing when quiet. One thread of its own does it, at its own pace.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sandmill::core::{LogLevel, LogLine, LogSource};

use super::board::{Board, Failed, KEPT_FAILURES, Watcher};
use super::live::LiveDisplay;
use super::plain::PlainLines;
use crate::app::OutputFormat;
use crate::output::escape;
use crate::output::failure::short;
use crate::output::ui::{Ui, cyan, dim, red, yellow};
use crate::text::state_words;

/// How often a live display is drawn.
const LIVE_PERIOD: Duration = Duration::from_millis(100);
/// A command that is done sooner than this shows no live display: it would only flicker.
const LIVE_AFTER: Duration = Duration::from_millis(150);

/// Lines of a run's log that are shown with its failure.
const SHOWN_LINES: usize = 5;

/// What to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Stages, failures and logs.
    Everything,
    /// Logs, and on a terminal the run itself: what became of it is said by the command.
    OneRun,
}

/// Brings the board up to date before it is shown: where not all is told by events.
pub(crate) type Refresh = Box<dyn FnMut(&mut Board) + Send>;

/// A display that goes on until it is stopped.
pub(crate) struct Screen {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Starts to show what `watcher` sees.
    pub(crate) fn start(ui: &Arc<Ui>, watcher: &Watcher, show: Show) -> Self {
        Self::refreshed(ui, watcher, show, Box::new(|_| ()))
    }

    /// The same with something that brings the board up to date before each look at it.
    pub(crate) fn refreshed(
        ui: &Arc<Ui>,
        watcher: &Watcher,
        show: Show,
        mut refresh: Refresh,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        let (ui, watcher) = (Arc::clone(ui), watcher.clone());
        let thread =
            std::thread::Builder::new().name("sandmill-display".to_owned()).spawn(move || {
                let mut painter = Painter::new(&ui, &watcher, show);
                while stopped.recv_timeout(LIVE_PERIOD) == Err(RecvTimeoutError::Timeout) {
                    refresh(&mut watcher.board());
                    painter.paint();
                }
                refresh(&mut watcher.board());
                painter.finish();
            });
        // Without the thread there is no display, and the runs go on.
        Self { stop, thread: thread.ok() }
    }

    /// Shows the rest and stops.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end();
    }
}

enum Style {
    Live(LiveDisplay),
    Plain(PlainLines),
    Quiet,
}

struct Painter<'a> {
    ui: &'a Ui,
    watcher: &'a Watcher,
    style: Style,
    show: Show,
    started: Instant,
}

impl<'a> Painter<'a> {
    fn new(ui: &'a Ui, watcher: &'a Watcher, show: Show) -> Self {
        let style = match (ui.format, ui.stderr_terminal) {
            (OutputFormat::Quiet, _) => Style::Quiet,
            (_, true) => Style::Live(LiveDisplay::new(show)),
            (_, false) if show == Show::OneRun => Style::Quiet,
            (_, false) => Style::Plain(PlainLines::default()),
        };
        Self { ui, watcher, style, show, started: Instant::now() }
    }

    fn paint(&mut self) {
        self.news();
        match &mut self.style {
            Style::Live(display) if self.started.elapsed() >= LIVE_AFTER => {
                self.ui.draw(display.lines(self.watcher));
            }
            Style::Live(_) => {}
            Style::Plain(lines) => {
                let told = lines.paint(&self.watcher.board(), false);
                told.iter().for_each(|line| self.ui.talk(line));
            }
            Style::Quiet => {}
        }
    }

    fn finish(&mut self) {
        self.news();
        match &mut self.style {
            Style::Live(_) => self.ui.end_live(),
            Style::Plain(lines) => {
                let told = lines.paint(&self.watcher.board(), true);
                told.iter().for_each(|line| self.ui.talk(line));
            }
            Style::Quiet => {}
        }
        // Whatever was written is to be there before the results.
        let _ = io::stderr().flush();
    }

    /// Log lines and failures, as they come.
    fn news(&mut self) {
        let mut board = self.watcher.board();
        let (lines, left_out) = board.take_lines();
        let (waits, failures) = (board.take_waits(), board.take_failures());
        let last = board.failures_shown == KEPT_FAILURES;
        drop(board);
        for (name, line) in &lines {
            self.ui.talk(log_line(name, line));
        }
        if left_out > 0 {
            self.ui.talk(dim().apply_to(format_args!("… {left_out} log lines left out")));
        }
        for (name, why) in &waits {
            // As long as it is: it goes host by host.
            let why = escape::line(why);
            self.ui.talk(format_args!("{} waits: {why}", dim().apply_to(short(name))));
        }
        if self.show == Show::OneRun {
            let lines = failures.iter().flat_map(|failure| &failure.lines);
            lines.for_each(|line| self.ui.talk(log_line(&failures[0].name, line)));
            return;
        }
        for failure in &failures {
            self.ui.talk(failure_lines(failure));
        }
        if last && !failures.is_empty() {
            self.ui.talk(dim().apply_to("… further failures are only counted"));
        }
    }
}

/// One line of a guest's log.
pub(crate) fn log_line(name: &str, line: &LogLine) -> String {
    let level = match line.level {
        LogLevel::Error => red().apply_to("error"),
        LogLevel::Warn => yellow().apply_to("warn"),
        LogLevel::Info => cyan().apply_to("info"),
        LogLevel::Debug => dim().apply_to("debug"),
        LogLevel::Trace => dim().apply_to("trace"),
    };
    let name = dim().apply_to(short(name));
    match line.source {
        LogSource::Stdout | LogSource::Stderr => format!("{name} | {}", short(&line.message)),
        LogSource::Log | LogSource::Host => format!("{name} | {level}: {}", short(&line.message)),
    }
}

/// A failure as it happens, with the last lines of the run's log.
fn failure_lines(failure: &Failed) -> String {
    let state = &failure.state;
    let message = state.message.as_deref().unwrap_or_default();
    let (first, more) = message.split_once('\n').unwrap_or((message, ""));
    let mut text = format!(
        "{} {} {}: {}",
        red().apply_to("✗"),
        short(&failure.name),
        state_words(&state.name),
        short(first)
    );
    for line in more.lines().filter(|line| !line.trim().is_empty()).take(3) {
        text.push_str(&format!("\n    {}", short(line)));
    }
    let told: Vec<&LogLine> =
        failure.lines.iter().filter(|line| !repeats(&line.message, message)).collect();
    for line in &told[told.len().saturating_sub(SHOWN_LINES)..] {
        text.push_str(&format!("\n    {}", log_line("log", line)));
    }
    text
}

/// Whether a line of the log says no more than the failure's message does: a panic of Rust is both.
fn repeats(line: &str, message: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || message.contains(line)
        || line.starts_with("note: run with `RUST_BACKTRACE")
        || (line.starts_with("thread '") && line.contains(" panicked at "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_once() {
        let message = "panicked at src/lib.rs:1:2: it broke";
        assert!(repeats("thread '<unnamed>' (1) panicked at src/lib.rs:1:2:", message));
        assert!(repeats("it broke", message));
        assert!(!repeats("the file has 3 lines", message));
    }
}
