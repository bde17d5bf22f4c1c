//! What the two sides say of themselves before anything else. What is asked of a worker is in
//! `order`, what it answers in `report`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandmill_core::{Ceiling, units};
use sandmill_wire::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of the messages that this build speaks best.
pub const PROTOCOL: u32 = 1;
/// The oldest version of the messages that this build still speaks.
pub const PROTOCOL_LEAST: u32 = 1;
/// Labels that a worker may carry.
pub const MAX_LABELS: usize = 1_000;
/// Kinds of resources that a worker may have.
pub const MAX_RESOURCES: usize = 1_000;

/// The versions of the messages that one side speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub least: u32,
    /// The newest.
    pub most: u32,
}

impl Versions {
    /// Those of this build.
    pub const OURS: Self = Self { least: PROTOCOL_LEAST, most: PROTOCOL };

    /// The newest version that both sides speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u32> {
        let most = self.most.min(other.most);
        (most >= self.least && most >= other.least).then_some(most)
    }
}

/// Names a worker for as long as its process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub Uuid);

impl WorkerId {
    /// A new id.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for WorkerId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for WorkerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The first thing that a coordinator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions of the messages that it speaks.
    pub versions: Versions,
    /// The version of its program, for people.
    pub program: String,
    /// Who it is, for people: a host name and a process id.
    pub name: String,
    /// Its session: the same when it comes back after a broken link, so that the worker goes on
    /// with what it holds of it. Another session has other runs.
    pub session: Uuid,
    /// How long the worker goes on with what it holds of this session after the link broke, and
    /// keeps results that the coordinator has not acknowledged.
    #[serde(with = "units::duration")]
    pub grace: Duration,
    /// How often each side says that it is there, where it says nothing else.
    #[serde(with = "units::duration")]
    pub heartbeat: Duration,
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version of the messages that both will speak.
    pub protocol: u32,
    /// The worker.
    pub worker: WorkerId,
    /// The version of its program, for people.
    pub program: String,
    /// Its name, for people; by default its host's name.
    pub name: String,
    /// Its operating system and processor: `linux-x86_64`.
    pub platform: String,
    /// How many runs it makes at a time.
    pub slots: u32,
    /// What it carries: a run that asks for labels goes to a worker that has all of them.
    pub labels: BTreeSet<String>,
    /// What it has: a run that asks for amounts goes to a worker that has them free.
    pub resources: BTreeMap<String, f64>,
    /// The most that it lets a run use and reach.
    pub ceiling: Ceiling,
    /// The components that it has already.
    pub holds: Vec<Digest>,
    /// The runs of this session that it holds still, under way or ended and not acknowledged.
    pub runs: Vec<super::RunLease>,
    /// Whether it has lost nothing of this session since the last link: what it does not hold of it
    /// never came to it, or came to its end by what the coordinator said.
    #[serde(default)]
    pub resumed: bool,
}

/// Why a side ends the conversation; the other shows it to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Goodbye {
    /// There is no version of the messages that both speak.
    #[error(
        "it speaks versions {} to {} of the protocol, this side {} to {}: use releases that are closer",
        theirs.least, theirs.most, ours.least, ours.most
    )]
    Version {
        /// Those of the side that says it.
        ours: Versions,
        /// Those of the other.
        theirs: Versions,
    },
    /// Whoever came may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no room for another coordinator.
    #[error("{0}")]
    Busy(String),
    /// The side is going away.
    #[error("{0}")]
    Leaving(String),
    /// What was asked for is not there.
    #[error("{0}")]
    Missing(String),
    /// The other side did what the protocol does not have.
    #[error("the other side broke the protocol: {0}")]
    Protocol(String),
}
