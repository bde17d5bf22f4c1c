//! How many workers there should be for a load, and which of them to stop. Starting and stopping
//! them is somebody else's.

use std::fmt;
use std::time::{Duration, Instant};

use crate::HostId;

/// How often the number of workers is looked at.
pub const DEFAULT_ADAPT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a worker has nothing to do before it is stopped.
pub const DEFAULT_ADAPT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long after workers were started or stopped no others are stopped.
pub const DEFAULT_ADAPT_COOLDOWN: Duration = Duration::from_secs(10);
/// Workers that may be asked for.
pub const MAX_ADAPT_WORKERS: usize = 10_000;

/// How the number of workers follows the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapt {
    /// Workers that there are at least.
    pub min: usize,
    /// Workers that there are at most.
    pub max: usize,
    /// How often the load is looked at.
    pub interval: Duration,
    /// How long a worker has nothing to do before it is stopped.
    pub idle_timeout: Duration,
    /// How long after workers were started or stopped no others are stopped.
    pub cooldown: Duration,
}

/// Bounds that cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdaptError {
    /// There may be no workers at all.
    NoneAtMost,
    /// There are to be more at least than at most.
    LeastAboveMost {
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// More are asked for than [`MAX_ADAPT_WORKERS`].
    TooMany(usize),
    /// The load would be looked at without a pause.
    NoInterval,
}

impl fmt::Display for AdaptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneAtMost => f.write_str("`max` is 0: there would never be a worker"),
            Self::LeastAboveMost { min, max } => {
                write!(f, "`min` is {min} and above `max`, which is {max}")
            }
            Self::TooMany(max) => {
                write!(f, "`max` is {max}: there may be {MAX_ADAPT_WORKERS} workers")
            }
            Self::NoInterval => f.write_str("`interval` is 0: it must be longer"),
        }
    }
}

impl std::error::Error for AdaptError {}

/// The load that is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DemandSeen {
    /// Runs that wait for a host.
    pub waiting: usize,
    /// Runs that hosts have.
    pub placed: usize,
    /// Runs that a worker makes at a time.
    pub slots_per_worker: usize,
    /// How long the run that has waited longest has.
    pub oldest_wait: Option<Duration>,
}

/// A worker that is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSeen {
    /// The worker.
    pub host: HostId,
    /// Runs that it has.
    pub runs: usize,
    /// Ends of runs that it keeps until they are settled, and values that only it has.
    pub unsettled: usize,
    /// Since when it has nothing.
    pub idle_since: Option<Instant>,
    /// Whether it is on its way out already.
    pub stopping: bool,
}

/// What is to be done about the number of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizing {
    /// Nothing.
    Stay,
    /// Start so many more.
    Start(usize),
    /// Drain and stop these.
    Stop(Vec<HostId>),
}

impl Adapt {
    /// From `min` to `max` workers, with the default times.
    ///
    /// # Errors
    /// [`AdaptError`] when these bounds cannot hold.
    pub fn between(min: usize, max: usize) -> Result<Self, AdaptError> {
        let adapt = Self {
            min,
            max,
            interval: DEFAULT_ADAPT_INTERVAL,
            idle_timeout: DEFAULT_ADAPT_IDLE_TIMEOUT,
            cooldown: DEFAULT_ADAPT_COOLDOWN,
        };
        adapt.check()?;
        Ok(adapt)
    }

    /// Whether these settings can hold.
    ///
    /// # Errors
    /// [`AdaptError`] with the first that cannot.
    pub const fn check(&self) -> Result<(), AdaptError> {
        if self.max == 0 {
            Err(AdaptError::NoneAtMost)
        } else if self.min > self.max {
            Err(AdaptError::LeastAboveMost { min: self.min, max: self.max })
        } else if self.max > MAX_ADAPT_WORKERS {
            Err(AdaptError::TooMany(self.max))
        } else if self.interval.is_zero() {
            Err(AdaptError::NoInterval)
        } else {
            Ok(())
        }
    }

    /// How many workers this load wants: a slot for each run, within the bounds. What comes and
    /// goes within one interval starts nobody: runs count as waiting once one has waited that long,
    /// or when there are none at work.
    #[must_use]
    pub fn desired(&self, seen: &DemandSeen) -> usize {
        let waits =
            seen.placed == 0 || seen.oldest_wait.is_some_and(|oldest| oldest >= self.interval);
        let runs = seen.placed.saturating_add(if waits { seen.waiting } else { 0 });
        runs.div_ceil(seen.slots_per_worker.max(1)).max(self.min).min(self.max)
    }

    /// Which of these workers to stop so that `wanted` are left: those that have nothing for the
    /// longest time, for [`Adapt::idle_timeout`] at least. Never one that has runs, or results
    /// that nobody else has.
    #[must_use]
    pub fn to_stop(&self, now: Instant, wanted: usize, workers: &[WorkerSeen]) -> Vec<HostId> {
        let staying = workers.iter().filter(|worker| !worker.stopping).count();
        let mut idle: Vec<(Instant, HostId)> = workers
            .iter()
            .filter(|worker| !worker.stopping && worker.runs == 0 && worker.unsettled == 0)
            .filter_map(|worker| Some((worker.idle_since?, worker.host)))
            .filter(|(since, _)| now.saturating_duration_since(*since) >= self.idle_timeout)
            .collect();
        idle.sort_unstable();
        idle.truncate(staying.saturating_sub(wanted.max(self.min)));
        idle.into_iter().map(|(_, host)| host).collect()
    }
}

/// Decides about the number of workers from one look at the load to the next.
#[derive(Debug, Clone)]
pub struct Adapter {
    adapt: Adapt,
    looked_at: Option<Instant>,
    changed_at: Option<Instant>,
}

impl Adapter {
    /// One that has not looked yet.
    #[must_use]
    pub const fn new(adapt: Adapt) -> Self {
        Self { adapt, looked_at: None, changed_at: None }
    }

    /// When to look next; none for at once.
    #[must_use]
    pub fn next_look(&self) -> Option<Instant> {
        self.looked_at.map(|at| at + self.adapt.interval)
    }

    /// What to do. `coming` workers were started and are not seen yet. Workers are started at once
    /// when there are too few, and stopped only a while after the last change. Before
    /// [`Adapter::next_look`] it is [`Sizing::Stay`].
    pub fn look(
        &mut self,
        now: Instant,
        demand: &DemandSeen,
        workers: &[WorkerSeen],
        coming: usize,
    ) -> Sizing {
        if self.next_look().is_some_and(|next| now < next) {
            return Sizing::Stay;
        }
        self.looked_at = Some(now);
        let wanted = self.adapt.desired(demand);
        let staying = workers.iter().filter(|worker| !worker.stopping).count();
        let there = staying.saturating_add(coming);
        if there < wanted {
            self.changed_at = Some(now);
            return Sizing::Start(wanted - there);
        }
        let rests = self
            .changed_at
            .is_none_or(|at| now.saturating_duration_since(at) >= self.adapt.cooldown);
        if there == wanted || coming > 0 || !rests {
            return Sizing::Stay;
        }
        let stop = self.adapt.to_stop(now, wanted, workers);
        if stop.is_empty() {
            return Sizing::Stay;
        }
        self.changed_at = Some(now);
        Sizing::Stop(stop)
    }
}
