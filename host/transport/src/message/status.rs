//! How a worker stands, for whoever looks on: no session, and nothing that could be asked of it.

use std::collections::{BTreeMap, BTreeSet};

use sandmill_wire::Digest;
use serde::{Deserialize, Serialize};

use super::{Load, WorkerId};

/// How a worker stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatusReport {
    /// The worker.
    pub worker: WorkerId,
    /// The version of its program.
    pub program: String,
    /// Its name, for people.
    pub name: String,
    /// Its operating system and processor.
    pub platform: String,
    /// How many runs it makes at a time.
    pub slots: u32,
    /// How busy it is.
    pub load: Load,
    /// Whether it takes no new runs.
    pub draining: bool,
    /// Coordinators that it serves.
    pub sessions: u32,
    /// Results that no coordinator has taken yet.
    pub kept: u32,
    /// What it carries.
    pub labels: BTreeSet<String>,
    /// What it has.
    pub resources: BTreeMap<String, f64>,
    /// The components that it has.
    pub holds: Vec<Digest>,
}
