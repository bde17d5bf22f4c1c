//! References: how a flow file names a parameter or the result of a task, and what is in it.

use std::fmt;

/// A parameter or a task's result, or what is at some path in it: `parameters.root`,
/// `count.result`, `count.result.0.lines`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What it starts from.
    pub root: Root,
    /// Fields and indices to walk, outermost first.
    pub path: Vec<String>,
}

/// What a reference starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The value of this parameter.
    Parameter(String),
    /// The result of this task.
    Task(String),
}

/// The word that references to parameters start with; no task has it as its name.
pub(crate) const PARAMETERS: &str = "parameters";
/// The word after the name of a task.
const RESULT: &str = "result";
/// Most steps of a path.
pub const MAX_PATH_STEPS: usize = 64;

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut steps = text.split('.').map(str::to_owned);
        let first = steps.next().unwrap_or_default();
        let forms = "write `TASK.result` or `parameters.NAME`, with fields and indices after it";
        let root = match (first.as_str(), steps.next()) {
            ("", _) => return Err(format!("`{text}` is no reference: {forms}")),
            (PARAMETERS, Some(name)) if !name.is_empty() => Root::Parameter(name),
            (PARAMETERS, _) => return Err(format!("`{text}` names no parameter: {forms}")),
            (_, Some(word)) if word == RESULT => Root::Task(first),
            _ => return Err(format!("`{text}` is no reference: {forms}")),
        };
        let path: Vec<String> = steps.collect();
        if path.iter().any(String::is_empty) {
            return Err(format!("`{text}` has an empty step in its path"));
        }
        if path.len() > MAX_PATH_STEPS {
            return Err(format!("`{text}` has more than {MAX_PATH_STEPS} steps in its path"));
        }
        Ok(Self { root, path })
    }

    /// Whether the text is meant as a reference: `unmapped` takes literals too.
    pub(crate) fn looks_like_one(text: &str) -> bool {
        let mut steps = text.split('.');
        match (steps.next(), steps.next()) {
            (Some(PARAMETERS), Some(_)) => true,
            (Some(task), Some(RESULT)) => crate::file::name_problem(task).is_none(),
            _ => false,
        }
    }

    /// The name of the task, when it is one's result.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        match &self.root {
            Root::Task(name) => Some(name),
            Root::Parameter(_) => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Parameter(name) => write!(f, "{PARAMETERS}.{name}")?,
            Root::Task(name) => write!(f, "{name}.{RESULT}")?,
        }
        self.path.iter().try_for_each(|step| write!(f, ".{step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_their_text() {
        for text in ["parameters.root", "count.result", "count.result.0.lines", "parameters.a.b"] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
            assert!(Reference::looks_like_one(text));
        }
        for wrong in ["", "count", "parameters", "parameters.", ".result", "a.results", "a.result."]
        {
            assert!(Reference::parse(wrong).is_err(), "{wrong:?} was taken for a reference");
        }
        assert!(!Reference::looks_like_one("Mr. X"));
        assert!(!Reference::looks_like_one("See the a.result"));
    }
}
