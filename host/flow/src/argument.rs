//! Arguments of a flow's tasks: where each value comes from, and whether it is mapped over.

use crate::fault::Place;
use crate::literal::Literal;
use crate::policy::ErrorsMode;
use crate::reference::Reference;

/// Something, and where in the file it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// It.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> Located<T> {
    pub(crate) const fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// An argument as the file writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// The same value for every run of the task.
    Same(Operand),
    /// One run of the task for each element.
    Each(Operand),
    /// One run of the task for each element of each element.
    EachOfEach(Operand),
}

impl Argument {
    /// Where the value comes from.
    #[must_use]
    pub const fn operand(&self) -> &Operand {
        match self {
            Self::Same(operand) | Self::Each(operand) | Self::EachOfEach(operand) => operand,
        }
    }

    /// Whether it takes the result of a task.
    pub(crate) fn takes_result(&self) -> bool {
        match self.operand() {
            Operand::Reference { reference, .. } => reference.task().is_some(),
            // It may have been meant to.
            Operand::Unread => true,
            Operand::Literal(_) => false,
        }
    }

    /// The same, with what becomes of results that are not there.
    pub(crate) fn with_errors(mut self, mode: ErrorsMode) -> Self {
        let (Self::Same(operand) | Self::Each(operand) | Self::EachOfEach(operand)) = &mut self;
        if let Operand::Reference { errors, .. } = operand {
            *errors = mode;
        }
        self
    }

    /// Whether the task runs once for each element of it.
    #[must_use]
    pub const fn is_mapped(&self) -> bool {
        !matches!(self, Self::Same(_))
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// From the file itself.
    Literal(Literal),
    /// From a parameter or a task's result.
    Reference {
        /// Which, and where in it.
        reference: Reference,
        /// What becomes of results that are not there.
        errors: ErrorsMode,
    },
    /// It could not be read; the fault is noted already.
    Unread,
}

/// What to do when the lists that one task maps over are not equally long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Zip {
    /// The task fails, with a failure of kind `mapping-length-mismatch`
    /// (`prefect.exceptions.MappingLengthMismatch`).
    #[default]
    Strict,
    /// The shortest one says how many runs there are, as in Prefect 0.x.
    Shortest,
}
