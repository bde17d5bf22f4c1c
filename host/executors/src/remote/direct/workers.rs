//! Providers of workers: a list, processes of this machine, or an embedder's own.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sandmill_core::StartError;
use tokio::sync::mpsc;

use super::way::Way;

/// How busy the workers of a fleet are, for providers that have more or less of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Runs that wait for a host.
    pub waiting: usize,
    /// Runs that hosts have.
    pub placed: usize,
    /// Slots of all hosts that take runs.
    pub slots: usize,
    /// How long the run that has waited longest for a host has.
    pub oldest_wait: Option<Duration>,
    /// The hosts that are there, by address, and how many runs each has: with those that wait there
    /// and those whose results are on their way.
    pub hosts: Vec<(String, usize)>,
}

/// Workers that come and go.
#[non_exhaustive]
pub enum WorkerNews {
    /// There is one more.
    Added(Arc<dyn Way>),
    /// The one at this address ends what it has and gets nothing new; the fleet lets go of it then,
    /// and says so ([`Workers::released`]).
    Leaving(String),
    /// The one at this address is gone.
    Removed(String),
    /// One could not be had; for people, and for a start that gets no other.
    Failed(String),
    /// There will be no more, for this reason. Where there is none, the fleet ends.
    GaveUp(String),
}

/// Provides workers: local processes, a cloud's, or a list. Called within the fleet's runtime.
pub trait Workers: Send + Sync {
    /// Begins to provide workers, and tells of each. Told of none and [`WorkerNews::Failed`], a
    /// start fails.
    ///
    /// # Errors
    /// When there will be none.
    fn start(
        &self,
        news: mpsc::UnboundedSender<WorkerNews>,
    ) -> BoxFuture<'_, Result<(), StartError>>;

    /// Ends: workers that were made for the session go. Takes bounded time.
    fn stop(&self) -> BoxFuture<'_, ()>;

    /// Whether all the workers that there will ever be were told of when the start was over: where none
    /// of them can be had, a fleet need not wait for others. By default there may be more.
    fn is_whole(&self) -> bool {
        false
    }

    /// Told now and then how busy the workers are. By default nothing comes of it.
    fn demand(&self, _demand: Demand) {}

    /// The fleet has let go of the worker at this address, which was leaving.
    fn released(&self, _address: &str) {}
}

/// A list of workers that does not change.
pub struct ListedWorkers(Vec<Arc<dyn Way>>);

impl ListedWorkers {
    /// These. One that is named twice is taken once.
    #[must_use]
    pub fn new(ways: impl IntoIterator<Item = Arc<dyn Way>>) -> Self {
        let mut listed: Vec<Arc<dyn Way>> = Vec::new();
        for way in ways {
            if listed.iter().all(|other| other.address() != way.address()) {
                listed.push(way);
            }
        }
        Self(listed)
    }
}

impl Workers for ListedWorkers {
    fn start(
        &self,
        news: mpsc::UnboundedSender<WorkerNews>,
    ) -> BoxFuture<'_, Result<(), StartError>> {
        let told = if self.0.is_empty() {
            Err(StartError::Unavailable("no worker was named".to_owned()))
        } else {
            for way in &self.0 {
                // Whoever listens may have gone already.
                let _ = news.send(WorkerNews::Added(Arc::clone(way)));
            }
            Ok(())
        };
        futures::future::ready(told).boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        futures::future::ready(()).boxed()
    }

    fn is_whole(&self) -> bool {
        true
    }
}
