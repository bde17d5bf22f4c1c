//! Why something in a flow did not complete: the run where it began.

use std::fmt;
use std::sync::Arc;

use sandmill_wire::RunId;

/// The run that others did not complete because of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blame {
    /// Its name: `count[3]`.
    pub name: Arc<str>,
    /// Its id; none when it failed before it could be called.
    pub run: Option<RunId>,
    /// How it ended, for people.
    pub what: Arc<str>,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        if let Some(run) = self.run {
            write!(f, " (run {run})")?;
        }
        write!(f, ": {}", self.what)
    }
}
