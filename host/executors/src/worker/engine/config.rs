//! How a worker serves at an engine, and its bounds.

use std::time::Duration;

/// How often a worker tells a coordinator which of its runs it holds.
pub const BEAT: Duration = Duration::from_secs(2);
/// How often a worker tells the engine that it is there.
pub const LIST_EVERY: Duration = Duration::from_secs(5);
/// How long one pull waits for an item.
pub const PULL_WAIT: Duration = Duration::from_secs(2);
/// The same where there are more classes than pulls that a worker may make at a time.
pub const TURN_WAIT: Duration = Duration::from_millis(200);
/// How often a worker looks then which classes have items.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pulls that a worker with an idle slot makes at a time beyond what it may have in hand, one for each
/// class that nothing is asked of yet.
pub(super) const PULLS_BEYOND: usize = 32;
/// How long a worker that was asked for runs back pulls nothing while its slots are taken: others are
/// to have them.
pub(super) const RECALL_REST: Duration = Duration::from_secs(1);
/// How long nobody is given an item whose coordinator does not answer.
pub const GIVE_BACK_PAUSE: Duration = Duration::from_secs(3);
/// How long a report that was sent may be without an answer before all are said again.
pub const SAY_AGAIN: Duration = Duration::from_secs(10);
/// How long a session that has nothing here is remembered.
pub const FEED_IDLE: Duration = Duration::from_secs(30);
/// The wait before something is tried again that the engine refused, at first.
pub(super) const TRY_LEAST: Duration = Duration::from_millis(50);
/// The longest such wait.
pub(super) const TRY_MOST: Duration = Duration::from_secs(2);
/// How often bytes that are not there are looked for before their runs are given back.
pub(super) const SUPPLY_TRIES: u32 = 60;
/// The wait between two such looks.
pub(super) const SUPPLY_PAUSE: Duration = Duration::from_millis(500);
/// How often it is tried to have an acknowledgement kept.
pub(super) const DONE_TRIES: u32 = 3;
/// Messages that wait for the worker, or for a session's task.
pub(super) const FEED_QUEUE: usize = 4_096;

/// How a worker serves at an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineServeConfig {
    /// Items that it takes beyond its slots; by default as many as it has slots.
    pub prefetch: Option<usize>,
    /// See [`BEAT`].
    pub beat: Duration,
    /// See [`SAY_AGAIN`].
    pub say_again: Duration,
    /// How long what runs may take to end once the worker leaves.
    pub grace: Duration,
}

impl Default for EngineServeConfig {
    fn default() -> Self {
        Self { prefetch: None, beat: BEAT, say_again: SAY_AGAIN, grace: Duration::from_secs(30) }
    }
}
