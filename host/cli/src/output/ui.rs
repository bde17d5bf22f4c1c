//! What speaks to the user: the one thing that writes to stderr, and knows whether it is a
//! terminal, whether colours are wanted, and whether the talk must go above a live display.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Style;

use crate::app::{ColorChoice, OutputFormat};
use crate::error::CliError;

use super::canvas::Canvas;
use super::escape;

/// Speaks to the user.
#[derive(Debug)]
pub(crate) struct Ui {
    /// How to speak.
    pub(crate) format: OutputFormat,
    /// Whether results go to a terminal.
    pub(crate) stdout_terminal: bool,
    /// Whether talk goes to a terminal.
    pub(crate) stderr_terminal: bool,
    /// The live display that is on the screen, if any.
    live: Mutex<Option<Canvas>>,
}

impl Ui {
    /// Finds out where stdout and stderr go.
    pub(crate) fn new(format: OutputFormat, color: ColorChoice) -> Self {
        let ui = Self {
            format,
            stdout_terminal: std::io::stdout().is_terminal(),
            stderr_terminal: std::io::stderr().is_terminal(),
            live: Mutex::new(None),
        };
        match color {
            // What `console` finds: a terminal that can, and neither NO_COLOR nor CLICOLOR=0.
            ColorChoice::Auto => {}
            ColorChoice::Always => set_colors(true),
            ColorChoice::Never => set_colors(false),
        }
        ui
    }

    /// Whether to speak to people.
    pub(crate) fn is_human(&self) -> bool {
        self.format == OutputFormat::Human
    }

    /// Whether to speak to programs.
    pub(crate) fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Whether to say nothing but results and errors.
    pub(crate) fn is_quiet(&self) -> bool {
        self.format == OutputFormat::Quiet
    }

    /// Says something that is neither a result nor an error. Nothing when quiet.
    pub(crate) fn talk(&self, text: impl Display) {
        if !self.is_quiet() {
            self.write(&text.to_string());
        }
    }

    /// Says that something is being done: `   Building census`.
    pub(crate) fn step(&self, verb: &str, what: impl Display) {
        self.talk(format_args!("{} {what}", bold_green().apply_to(format_args!("{verb:>10}"))));
    }

    /// Says what is not as it should be and stops nothing, however quiet it is to be.
    pub(crate) fn warn(&self, what: impl Display, details: &[String]) {
        let mut text = warning(what);
        details.iter().for_each(|line| text.push_str(&format!("\n  {}", escape::line(line))));
        self.write(&text);
    }

    /// Says what went wrong, and what to do about it.
    pub(crate) fn error(&self, error: &CliError) {
        // Words of other hosts may be among them: they must not move the cursor, nor begin a line.
        let mut text = format!("{}: {}", red().apply_to("error"), escape::line(&error.message));
        for detail in &error.details {
            for line in detail.lines() {
                text.push_str("\n  ");
                text.push_str(&escape::line(line));
            }
        }
        for hint in &error.hints {
            text.push_str(&format!("\n{}: {}", cyan().apply_to("hint"), escape::line(hint)));
        }
        self.write(&text);
    }

    /// Writes to stderr, above the live display if there is one.
    pub(crate) fn write(&self, text: &str) {
        match self.live().as_mut() {
            Some(canvas) => canvas.write_above(text),
            // Where stderr is closed there is nobody to tell.
            None => drop(writeln!(std::io::stderr().lock(), "{text}")),
        }
    }

    /// Calls `write` while the live display is off the screen, so that it may write to stdout.
    pub(crate) fn around_live<T>(&self, write: impl FnOnce() -> T) -> T {
        match self.live().as_mut() {
            Some(canvas) if self.stdout_terminal => canvas.around(write),
            _ => write(),
        }
    }

    /// Puts these lines on the screen as the live display.
    pub(crate) fn draw(&self, lines: Vec<String>) {
        self.live().get_or_insert_with(Canvas::new).draw(lines);
    }

    /// Takes the live display off the screen.
    pub(crate) fn end_live(&self) {
        if let Some(mut canvas) = self.live().take() {
            canvas.erase();
        }
    }

    fn live(&self) -> MutexGuard<'_, Option<Canvas>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A warning in words.
pub(crate) fn warning(what: impl Display) -> String {
    format!("{}: {}", yellow().apply_to("warning"), escape::line(&what.to_string()))
}

fn set_colors(on: bool) {
    console::set_colors_enabled(on);
    console::set_colors_enabled_stderr(on);
}

/// For errors and failures.
pub(crate) fn red() -> Style {
    Style::new().for_stderr().red().bold()
}

/// For warnings.
pub(crate) fn yellow() -> Style {
    Style::new().for_stderr().yellow()
}

/// For hints and names.
pub(crate) fn cyan() -> Style {
    Style::new().for_stderr().cyan().bold()
}

/// For what went well.
pub(crate) fn bold_green() -> Style {
    Style::new().for_stderr().green().bold()
}

/// For what matters less.
pub(crate) fn dim() -> Style {
    Style::new().for_stderr().dim()
}
