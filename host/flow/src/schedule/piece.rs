//! What became of one run, for the tasks that take its result; and the map that tells of it where
//! states are taken in the place of results.

use std::sync::Arc;

use sandmill_core::StateType;
use sandmill_wire::{Failure, RunId, Value};

use super::blame::Blame;
use super::inputs::ARGUMENTS_TOO_LARGE;
use super::step::Cause;
use crate::policy::ErrorsMode;

/// What became of a run.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// It returned this.
    Value(Value),
    /// It was skipped.
    Skipped,
    /// It did not complete, because of this.
    Failed(Arc<Blame>),
}

/// Why the arguments of a run are not made.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What it maps over leads to nothing, or is too large.
    Inputs(Failure),
    /// The run is skipped.
    Skipped(String),
    /// Something that it cannot do without is not there.
    Unmet(String),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Inputs(failure)
    }
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Inputs(failure) => Self::Inputs(failure),
            Refusal::Skipped(why) => Self::Skipped(why.into()),
            Refusal::Unmet(why) => Self::Unmet(why.into()),
        }
    }
}

impl Refusal {
    /// A result that is to be there is not.
    pub(super) fn missing(text: &str, blame: &Blame) -> Self {
        Self::Unmet(format!(
            "`{text}` is not there, because of {blame}; errors = \"skip\" or \"states\" would let \
             the task run"
        ))
    }
}

impl Piece {
    pub(super) const fn is_value(&self) -> bool {
        matches!(self, Self::Value(_))
    }

    /// What stands for a single result. `value` takes from it what is wanted.
    pub(super) fn single(
        &self,
        run: Option<RunId>,
        errors: ErrorsMode,
        text: &str,
        value: impl FnOnce(&Value) -> Result<Value, Failure>,
    ) -> Result<Value, Refusal> {
        match (self, errors) {
            (Self::Value(found), ErrorsMode::States) => Ok(self.told(run, Some(&value(found)?))?),
            (_, ErrorsMode::States) => Ok(self.told(run, None)?),
            (Self::Value(found), _) => Ok(value(found)?),
            (Self::Skipped, _) | (Self::Failed(_), ErrorsMode::Skip) => Ok(Value::nil()),
            (Self::Failed(blame), ErrorsMode::Raise) => Err(Refusal::missing(text, blame)),
        }
    }

    /// A map that tells of the run: `state`, `name`, `message`, `run`, and `value` where there is
    /// one.
    pub(super) fn told(&self, run: Option<RunId>, value: Option<&Value>) -> Result<Value, Failure> {
        let (kind, name, message, run) = match self {
            Self::Value(_) => (StateType::Completed, "Completed", None, run),
            Self::Skipped => (StateType::Completed, "Skipped", None, run),
            Self::Failed(blame) => {
                (blame.kind, &*blame.state, blame.message.as_deref(), run.or(blame.run))
            }
        };
        let text = |text: &str| Value::encode(text);
        let or_nil = |found: Option<String>| found.map_or(Ok(Value::nil()), |found| text(&found));
        let made = || {
            let fields = [
                ("state", text(kind.name())?),
                ("name", text(name)?),
                ("message", or_nil(message.map(str::to_owned))?),
                ("run", or_nil(run.map(|run| run.to_string()))?),
            ];
            let fields = fields.iter().map(|(name, value)| (*name, value));
            Value::map_from(fields.chain(value.map(|value| ("value", value))))
        };
        made().map_err(|error: sandmill_wire::value::ValueError| {
            Failure::new(ARGUMENTS_TOO_LARGE, error.to_string())
        })
    }
}
