//! Why a call finds no result, part by part of its key. Which entries are near is found in
//! `table`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sandmill_core::Timestamp;
use sandmill_wire::{Digest, Value};

use super::entry::CacheRecord;
use super::key::{CacheKey, KeyDigest};

/// Names of arguments that a difference lists at most.
pub const MAX_LISTED_ARGUMENTS: usize = 100;

/// What the cache has for a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The digest of the call's key.
    pub key: KeyDigest,
    /// The entry that the call would get, or would get were it not too old.
    pub entry: Option<CacheRecord>,
    /// Why the call would not get it; none when it would, or when there is none.
    pub expired: Option<Expired>,
    /// The entry that has most in common with the call, where none is under its key.
    pub nearest: Option<Nearest>,
}

impl Explanation {
    /// The entry that the call would get.
    #[must_use]
    pub fn hit(&self) -> Option<&CacheRecord> {
        self.entry.as_ref().filter(|_| self.expired.is_none())
    }
}

/// Why an entry is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// It was to be kept until then.
    Entry {
        /// Until when.
        at: Timestamp,
    },
    /// It is older than the call accepts.
    Call {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        accepts: Duration,
    },
}

impl Expired {
    /// Whether, and why, an entry of that age is too old now for a call that accepts this age.
    pub(super) fn check(
        created: Timestamp,
        expires: Option<Timestamp>,
        accepts: Option<Duration>,
        now: Timestamp,
    ) -> Option<Self> {
        if let Some(at) = expires.filter(|&at| at <= now) {
            return Some(Self::Entry { at });
        }
        let age = now.since(created);
        accepts.filter(|&accepts| age >= accepts).map(|accepts| Self::Call { age, accepts })
    }
}

/// An entry that a call does not get, and why not.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    /// The entry.
    pub entry: CacheRecord,
    /// What differs; never empty.
    pub differences: Vec<Difference>,
}

/// A part of the key that differs between an entry and a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// The component was another one.
    Component {
        /// The entry's.
        entry: Digest,
        /// The call's.
        call: Digest,
    },
    /// The task has another name.
    Task {
        /// The entry's.
        entry: Arc<str>,
        /// The call's.
        call: Arc<str>,
    },
    /// The arguments mean something else.
    Arguments {
        /// BLAKE3 of the entry's, in canonical form.
        entry: KeyDigest,
        /// Of the call's.
        call: KeyDigest,
        /// Which ones; none where those of the entry were too large to be kept. At most
        /// [`MAX_LISTED_ARGUMENTS`].
        names: Option<Vec<ArgumentDifference>>,
    },
    /// The author's own key is another one.
    UserKey {
        /// The entry's.
        entry: Option<Arc<str>>,
        /// The call's.
        call: Option<Arc<str>>,
    },
    /// Guests were run in another way.
    Profile {
        /// The entry's.
        entry: Arc<str>,
        /// This host's.
        call: Arc<str>,
    },
}

/// How one argument differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentDifference {
    /// Both have it, with other values.
    Changed(String),
    /// The call does not have it.
    Missing(String),
    /// The entry does not have it.
    Added(String),
}

impl fmt::Display for ArgumentDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(name) => write!(f, "`{name}` has another value"),
            Self::Missing(name) => write!(f, "`{name}` is missing"),
            Self::Added(name) => write!(f, "`{name}` is new"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component { entry, call } => {
                write!(
                    f,
                    "the component is {}, that of the entry was {}",
                    call.short(),
                    entry.short()
                )
            }
            Self::Task { entry, call } => {
                write!(f, "the task is `{call}`, that of the entry was `{entry}`")
            }
            Self::Arguments { names: Some(names), .. } if !names.is_empty() => {
                f.write_str("the arguments differ: ")?;
                for (index, name) in names.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{name}")?;
                }
                Ok(())
            }
            Self::Arguments { entry, call, .. } => {
                write!(f, "the arguments differ: their digest is {call}, that of the entry {entry}")
            }
            Self::UserKey { entry, call } => {
                let shown = |key: &Option<Arc<str>>| match key {
                    Some(key) => format!("`{key}`"),
                    None => "not given".to_owned(),
                };
                write!(f, "the key is {}, that of the entry was {}", shown(call), shown(entry))
            }
            Self::Profile { entry, call } => {
                write!(f, "guests are run as `{call}`, for the entry as `{entry}`")
            }
        }
    }
}

/// What differs between an entry and a call; nothing when the entry is the call's.
pub(super) fn differences(entry: &CacheRecord, call: &CacheKey) -> Vec<Difference> {
    let mut found = Vec::new();
    if entry.component != call.component() {
        found.push(Difference::Component { entry: entry.component, call: call.component() });
    }
    if entry.task != *call.task() {
        let (entry, call) = (Arc::clone(&entry.task), Arc::clone(call.task()));
        found.push(Difference::Task { entry, call });
    }
    if entry.arguments_digest != call.arguments_digest() {
        let names = entry.arguments.as_ref().and_then(|kept| by_name(kept, call.arguments()));
        let (entry, call) = (entry.arguments_digest, call.arguments_digest());
        found.push(Difference::Arguments { entry, call, names });
    }
    if entry.user_key.as_ref() != call.user_key() {
        let (entry, call) = (entry.user_key.clone(), call.user_key().cloned());
        found.push(Difference::UserKey { entry, call });
    }
    if entry.profile != *call.profile() {
        let (entry, call) = (Arc::clone(&entry.profile), Arc::clone(call.profile()));
        found.push(Difference::Profile { entry, call });
    }
    found
}

/// How much an entry has in common with a call: compare two of these, the smaller one is nearer.
/// What the parts weigh follows what people change: arguments more often than code, code more
/// often than the name of the task.
pub(super) fn distance(differences: &[Difference]) -> (u32, usize) {
    let weight = |difference: &Difference| match difference {
        Difference::Task { .. } => 8,
        Difference::Component { .. } => 4,
        Difference::Arguments { .. } => 2,
        Difference::UserKey { .. } | Difference::Profile { .. } => 1,
    };
    let names = differences.iter().map(|difference| match difference {
        Difference::Arguments { names: Some(names), .. } => names.len(),
        Difference::Arguments { names: None, .. } => MAX_LISTED_ARGUMENTS,
        _ => 0,
    });
    (differences.iter().map(weight).sum(), names.sum())
}

/// Which arguments differ; none when they are not maps by name. Both are in canonical form.
fn by_name(entry: &Value, call: &Value) -> Option<Vec<ArgumentDifference>> {
    let named = |value: &Value| -> Option<BTreeMap<String, Value>> {
        let entries = value.entries().ok()?;
        entries.map(|(key, value)| Some((key.as_str()?.to_owned(), value))).collect()
    };
    let (entry, mut call) = (named(entry)?, named(call)?);
    let mut found = Vec::new();
    for (name, was) in entry {
        match call.remove(&name) {
            Some(is) if is == was => {}
            Some(_) => found.push(ArgumentDifference::Changed(name)),
            None => found.push(ArgumentDifference::Missing(name)),
        }
    }
    found.extend(call.into_keys().map(ArgumentDifference::Added));
    found.truncate(MAX_LISTED_ARGUMENTS);
    Some(found)
}
