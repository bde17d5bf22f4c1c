//! What happens: all that the scheduler is told. What it answers is in `action`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sandmill_core::Ceiling;
use sandmill_wire::Digest;

use crate::{HostId, LeaseId, Need, Resources, RunNo};

/// The large inputs of a run: their digests and how many bytes each has. A host that holds some
/// already is the better place.
pub type HeldInputs = Arc<[(Digest, u64)]>;

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    /// Its name, for people.
    pub name: Arc<str>,
    /// Runs that it makes at a time.
    pub slots: u32,
    /// Labels that it carries.
    pub labels: BTreeSet<String>,
    /// Amounts that it has.
    pub resources: Resources,
    /// The most that it lets a run use and reach.
    pub ceiling: Ceiling,
    /// What it holds already: components and values.
    pub holds: Vec<Digest>,
}

/// Why a host gave a run back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandBackWhy {
    /// It was recalled.
    Asked,
    /// It never got there: the link broke on the way.
    NeverArrived,
    /// The host does not take it. It is given nothing for a while then
    /// ([`HAND_BACK_PAUSE`](crate::HAND_BACK_PAUSE)).
    Refused,
}

/// Something that happened. What is said of a host that is not there, or of a run under any but
/// its latest lease, changes nothing; a late end is answered with
/// [`Action::Stale`](crate::Action::Stale).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A host is there. Of one that is there already it says anew what it is; its runs stay.
    HostUp {
        /// The host.
        host: HostId,
        /// What it says of itself.
        spec: Box<HostSpec>,
    },
    /// A host is gone: it left, or its leases have run out. Its runs go elsewhere or are given up.
    HostDown {
        /// The host.
        host: HostId,
        /// Why, for people.
        why: Arc<str>,
    },
    /// A host is not heard of, within the time that its leases last: it gets nothing new.
    HostSilent {
        /// The host.
        host: HostId,
    },
    /// A silent host is heard of again.
    HostBack {
        /// The host.
        host: HostId,
    },
    /// A host takes nothing new and ends what it has.
    HostDraining {
        /// The host.
        host: HostId,
    },
    /// A host has these bytes now: a component or a value.
    Holds {
        /// The host.
        host: HostId,
        /// The digest of the bytes.
        digest: Digest,
    },
    /// A host does not have these bytes, or no longer.
    Drops {
        /// The host.
        host: HostId,
        /// The digest of the bytes.
        digest: Digest,
    },
    /// A run wants a host.
    Ready {
        /// The run.
        run: RunNo,
        /// What it asks for.
        need: Arc<Need>,
        /// The bytes of its arguments.
        input_bytes: u64,
        /// The large ones among its inputs.
        inputs: Option<HeldInputs>,
    },
    /// A run got its slot at its host.
    Started {
        /// The run.
        run: RunNo,
        /// The lease under which it did.
        lease: LeaseId,
    },
    /// A run has ended, by the word of a host.
    Ended {
        /// The host.
        host: HostId,
        /// The run.
        run: RunNo,
        /// The lease under which it ran.
        lease: LeaseId,
        /// How long it was in its slot, where it was in one.
        took: Option<Duration>,
    },
    /// A host gives a run back that has not started there.
    HandBack {
        /// The host.
        host: HostId,
        /// The run.
        run: RunNo,
        /// The lease under which it was there.
        lease: LeaseId,
        /// Why.
        why: HandBackWhy,
    },
    /// A run was not started in its time, as far as is known. One that waits leaves; one that is at a host
    /// is asked back, and leaves when it comes: it may have started there by now, and stays then.
    Expire {
        /// The run.
        run: RunNo,
    },
    /// A run is not wanted any more: cancelled, or its time is up.
    Withdraw {
        /// The run.
        run: RunNo,
    },
    /// Time has gone by: [`Scheduler::next_deadline`](crate::Scheduler::next_deadline) is reached.
    Tick,
}
