//! What the command line says when it cannot do what it was asked: the thing, the cause, the next
//! step, and the exit code. How runs end is in `output/outcome.rs`.

use std::fmt::Display;

use crate::exit_code;

/// An error as users see it: `error: …`, one indented line for each detail, `hint: …` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    /// What the process exits with.
    pub(crate) code: u8,
    /// What is wrong, in lower case, naming the thing.
    pub(crate) message: String,
    /// The faults or causes one by one, most important first.
    pub(crate) details: Vec<String>,
    /// What to do about it.
    pub(crate) hints: Vec<String>,
}

/// The usual result of the command line's own functions.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new(), hints: Vec::new() }
    }

    /// What was typed or written is wrong: [`exit_code::INVALID_INPUT`].
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(exit_code::INVALID_INPUT, message)
    }

    /// The machine or a tool failed: [`exit_code::INFRASTRUCTURE`].
    pub(crate) fn infrastructure(message: impl Into<String>) -> Self {
        Self::new(exit_code::INFRASTRUCTURE, message)
    }

    /// Somebody pressed Ctrl-C before there was anything to cancel.
    pub(crate) fn interrupted() -> Self {
        Self::new(exit_code::INTERRUPTED, "interrupted")
    }

    /// The same error with one more detail.
    pub(crate) fn detail(mut self, detail: impl Display) -> Self {
        self.details.push(detail.to_string());
        self
    }

    /// The same error with these details.
    pub(crate) fn details<D: Display>(mut self, details: impl IntoIterator<Item = D>) -> Self {
        self.details.extend(details.into_iter().map(|detail| detail.to_string()));
        self
    }

    /// The same error with what caused it, and what caused that.
    pub(crate) fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            self.details.push(error.to_string());
            cause = error.source();
        }
        self
    }

    /// The same error with one more thing to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_come_outermost_first() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        let error = CliError::infrastructure("cannot do it")
            .caused_by(&Outer(std::io::Error::other("inner")))
            .hint("try again");
        assert_eq!(error.details, ["outer", "inner"]);
        assert_eq!(error.code, exit_code::INFRASTRUCTURE);
    }
}
