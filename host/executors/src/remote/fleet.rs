//! The seam to what carries runs to hosts: links to workers, an engine, or an embedder's own. What
//! a run is, and what follows from its end, is the executor's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sandmill_core::{StartError, Timestamp};

use super::desk::Desk;

/// Carries tickets to hosts, and says what became of them.
///
/// **A session** goes from [`Fleet::start`] to [`Fleet::stop`]; there is one at a time. In it the
/// fleet waits for news at the [`Desk`], takes the tickets that lie there, and keeps each until it
/// ends it: [`super::Ticket::finish`], [`super::Ticket::expire`] or [`super::Ticket::cancel`]. It
/// tells the desk how many it wants ([`Desk::set_window`]), as its hosts come and go.
///
/// **What it owes each ticket:**
/// - [`super::Ticket::started`] when an attempt has started, then what the run says, then its end,
///   in this order;
/// - once the run is asked to stop ([`Desk::take`], [`super::Ticket::is_cancelled`]): an end soon,
///   when no guest instruction of it can run any more as far as the fleet can know;
/// - once its time to be started is over ([`super::Ticket::expires`]) and it has not been:
///   [`super::Ticket::expire`]; to one that was sent on before, `call().options.deadline` tells how
///   long an attempt has;
/// - a report under an earlier placement than its latest is not told;
/// - a host that is lost is not an end: the attempt is made elsewhere, where that is safe. Else it
///   ends as `host-lost`.
///
/// Retries, delays, queues, maps and caching are none of its business: another attempt is another
/// ticket. A run has one ticket at a time.
///
/// A fleet has a runtime and threads of its own; the calls below come from any thread.
pub trait Fleet: Send + Sync {
    /// Opens a session. Ready when runs can be carried.
    ///
    /// # Errors
    /// [`StartError::Unavailable`] when no host can be had, with what was tried and why it failed.
    fn start(&self, desk: Arc<Desk>) -> BoxFuture<'_, Result<(), StartError>>;

    /// Ends the session: all tickets have ended, and no more come. Ready when nothing of it is left,
    /// in bounded time. After that it may be started again.
    fn stop(&self) -> BoxFuture<'_, ()>;

    /// How many runs go on at a time at most, on the hosts that are there now.
    fn slots(&self) -> usize;

    /// The hosts, as they stand.
    fn hosts(&self) -> Vec<HostStatus>;

    /// The most memory in bytes that a host of it would give a run; none while no host is known.
    fn max_memory(&self) -> Option<u64>;
}

/// Whether a host can be given runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostState {
    /// It is connected to for the first time.
    Connecting,
    /// It takes runs.
    Up,
    /// Nothing was heard of it for a while, or its link broke. What it runs goes on; it gets nothing
    /// new.
    Silent,
    /// It was given up: its runs went elsewhere. It is tried again.
    Down,
    /// It ends what it has and takes nothing new.
    Draining,
}

impl HostState {
    /// The name by which users see it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Silent => "silent",
            Self::Down => "down",
            Self::Draining => "draining",
        }
    }
}

/// How a host stands.
#[derive(Debug, Clone, PartialEq)]
pub struct HostStatus {
    /// Its name, for people; its address until it has said its name.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// Whether it can be given runs.
    pub state: HostState,
    /// Why it cannot, where that is so.
    pub why: Option<String>,
    /// The version of its program.
    pub program: Option<String>,
    /// Its operating system and processor.
    pub platform: Option<String>,
    /// How many runs it makes at a time.
    pub slots: u32,
    /// Runs that it was given and that have not ended.
    pub runs: usize,
    /// Of these, how many are in its slots, by its own word.
    pub running: u32,
    /// Memory of its process in bytes, by its own word.
    pub memory: u64,
    /// Processor time that it used so far, by its own word.
    pub cpu: Duration,
    /// How many components it holds.
    pub components: usize,
    /// What it carries.
    pub labels: BTreeSet<String>,
    /// What it has.
    pub resources: BTreeMap<String, f64>,
    /// When it was last heard of.
    pub heard: Option<Timestamp>,
    /// Reports of it that came too late to be taken.
    pub stale: u64,
}
