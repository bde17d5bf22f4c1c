//! What a scenario is: something that Prefect documents, where it does, and what Sandmill does in
//! its place.

use crate::Stage;

/// One thing that Prefect documents.
pub struct Scenario {
    /// Its name in the table.
    pub name: &'static str,
    /// Where Prefect says so: a file of its repository, and what to look for there.
    pub source: &'static str,
    /// Whether it is about runs that have not ended, which there are none of where `submit` returns
    /// when they have.
    pub needs_waiting: bool,
    /// Whether Sandmill does something else on purpose. Then `docs/parity.md` says why.
    pub differs: bool,
    /// Plays it.
    pub play: fn(&Stage),
}

/// A scenario for a function, named after it: `scenario!(name, "source")`, and after that
/// `waiting` where it is about runs that have not ended, and `differs` where Sandmill does
/// something else on purpose.
#[macro_export]
macro_rules! scenario {
    ($name:ident, $source:literal) => {
        $crate::scenario!(@ $name, $source, false, false)
    };
    ($name:ident, $source:literal, waiting) => {
        $crate::scenario!(@ $name, $source, true, false)
    };
    ($name:ident, $source:literal, differs) => {
        $crate::scenario!(@ $name, $source, false, true)
    };
    ($name:ident, $source:literal, waiting, differs) => {
        $crate::scenario!(@ $name, $source, true, true)
    };
    (@ $name:ident, $source:literal, $waiting:literal, $differs:literal) => {
        $crate::Scenario {
            name: stringify!($name),
            source: $source,
            needs_waiting: $waiting,
            differs: $differs,
            play: $name,
        }
    };
}
