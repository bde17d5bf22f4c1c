//! What is to be done: all that the scheduler answers. What it is told is in `event`.

use std::sync::Arc;

use crate::{HostId, HostVerdict, LeaseId, RunNo, Standing};

/// Why a run was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedWhy {
    /// As many runs as may wait do wait.
    Full,
    /// There is a run of that number already. It is not touched.
    Known,
}

/// Why a run whose host was lost is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostWhy {
    /// It may have started there, and have changed something outside.
    Effects,
    /// Too many hosts were lost under it.
    TooMany,
}

/// Something to do. Each run that was ready leaves with exactly one of [`Action::Take`],
/// [`Action::Lost`], [`Action::Withdrawn`] and [`Action::Refused`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Give the run to the host.
    Assign {
        /// The run.
        run: RunNo,
        /// The host.
        host: HostId,
        /// The lease under which it is there.
        lease: LeaseId,
    },
    /// Ask the host to give the run back if it has not started: another host is idle, or its time to
    /// be started is over. It stays where it is until the host says so, and an end that comes instead
    /// counts.
    Recall {
        /// The run.
        run: RunNo,
        /// The host that has it.
        host: HostId,
        /// Its lease.
        lease: LeaseId,
    },
    /// The end that was just told counts, also for a run that was withdrawn. The run has left.
    Take {
        /// The run.
        run: RunNo,
        /// The lease under which it ran.
        lease: LeaseId,
    },
    /// The end that was just told comes too late: the run is elsewhere, or has ended.
    Stale {
        /// The host that told it.
        host: HostId,
        /// The run.
        run: RunNo,
        /// The lease that does not hold any more.
        lease: LeaseId,
    },
    /// The run is given up because its host was lost. The run has left.
    Lost {
        /// The run.
        run: RunNo,
        /// The host that was lost.
        host: HostId,
        /// How many hosts were lost under it.
        hosts_lost: u32,
        /// Why it does not go elsewhere.
        why: LostWhy,
    },
    /// The run goes elsewhere because its host was lost. Only to be told; it waits again, and is
    /// assigned like any other.
    Elsewhere {
        /// The run.
        run: RunNo,
        /// The host that was lost.
        from: HostId,
        /// How many hosts were lost under it.
        hosts_lost: u32,
    },
    /// Stop the run at the host; the host answers with its end.
    Cancel {
        /// The run.
        run: RunNo,
        /// The host that has it.
        host: HostId,
        /// Its lease.
        lease: LeaseId,
    },
    /// A run that was withdrawn, or whose time was over, is nowhere: it waited, was given back, or its
    /// host was lost. The run has left.
    Withdrawn {
        /// The run.
        run: RunNo,
    },
    /// The run was not taken.
    Refused {
        /// The run.
        run: RunNo,
        /// Why.
        why: RefusedWhy,
    },
    /// Nobody takes the run now. Said of the first of the runs with the same need that wait.
    Pending {
        /// The run.
        run: RunNo,
        /// How many runs wait for the same, this one among them.
        alike: usize,
        /// Whether it is a matter of time.
        standing: Standing,
        /// Host by host, why not, for the first
        /// [`MAX_PENDING_REASONS`](crate::MAX_PENDING_REASONS) of them; empty without hosts.
        reasons: Arc<[HostVerdict]>,
    },
    /// There are as many hosts as there may be; this one is not used.
    HostRefused {
        /// The host.
        host: HostId,
    },
}
