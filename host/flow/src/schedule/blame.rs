//! Why something in a flow did not complete: the run where it began.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sandmill_core::{State, StateType};
use sandmill_wire::RunId;

/// The run that others did not complete because of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blame {
    /// Its name: `count[3]`.
    pub name: Arc<str>,
    /// Its id; none when it failed before it could be called.
    pub run: Option<RunId>,
    /// The type of the state that it ended in.
    pub kind: StateType,
    /// The name of that state.
    pub state: Cow<'static, str>,
    /// Why, for people.
    pub message: Option<Arc<str>>,
}

impl Blame {
    /// The blame of a run that ended in this state.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, run: Option<RunId>, state: &State) -> Self {
        Self {
            name: name.into(),
            run,
            kind: state.kind,
            state: state.name.clone(),
            message: state.message.clone(),
        }
    }

    /// The blame of a run that failed before it could be called.
    #[must_use]
    pub fn unstarted(
        name: impl Into<Arc<str>>,
        state: &'static str,
        message: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            name: name.into(),
            run: None,
            kind: StateType::Failed,
            state: Cow::Borrowed(state),
            message: Some(message.into()),
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        if let Some(run) = self.run {
            write!(f, " (run {run})")?;
        }
        write!(f, ": {}", self.state)?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
    }
}
