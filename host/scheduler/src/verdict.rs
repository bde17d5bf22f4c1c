//! Why a host does or does not take a run, typed and in words.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::{Amount, HostId};

/// Hosts that one notice of a waiting run names.
pub const MAX_PENDING_REASONS: usize = 64;
/// Hosts that were lost and are still named when a run asks why it waits.
pub const MAX_LOST_SHOWN: usize = 16;

/// Whether a run that waits does so for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// A host can take it now.
    Free,
    /// A host takes it when others have ended there.
    Busy,
    /// A host could take it, but takes nothing for now: it is silent, draining or paused.
    NotNow,
    /// None of the hosts that are there can ever take it.
    Never,
    /// There are no hosts.
    NoHosts,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "a host can take it",
            Self::Busy => "all hosts that could take it are busy",
            Self::NotNow => "the hosts that could take it take nothing for now",
            Self::Never => "no host can take it",
            Self::NoHosts => "there is no host",
        })
    }
}

/// What keeps a run from a host, or what is worth knowing about it there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The host does not carry a label.
    LacksLabel(String),
    /// The host has less of a resource than is asked for.
    LacksResource {
        /// Its name.
        name: String,
        /// What is asked for.
        asked: Amount,
        /// What the host has.
        has: Amount,
    },
    /// The host has enough of a resource, but too little is free.
    ResourceBusy {
        /// Its name.
        name: String,
        /// What is asked for.
        asked: Amount,
        /// What the host has.
        has: Amount,
        /// What is free.
        free: Amount,
    },
    /// The host does not allow what the run uses or reaches, in words.
    NotAllowed(String),
    /// The host has no slots.
    NoSlots,
    /// The host takes nothing new.
    Draining,
    /// The host has not been heard of for so long.
    Silent(Duration),
    /// The host refused a run and gets nothing for so long.
    Paused(Duration),
    /// The host was lost so long ago.
    Lost {
        /// How long ago.
        ago: Duration,
        /// Why.
        why: Arc<str>,
    },
    /// The host has as many runs as it gets.
    Busy {
        /// Runs that it has.
        runs: u32,
        /// Its slots.
        slots: u32,
    },
    /// The host keeps its next slot for a run that gets a slot or nothing, and gets nothing beyond its
    /// slots until then.
    KeepsSlot,
    /// Hosts were lost under the run and under one that the host has: they are tried apart from each
    /// other, so that neither goes because of the other.
    Suspect,
    /// The component is on its way to the host. That keeps no run from it.
    GettingComponent,
    /// The host has the run.
    HasIt {
        /// Whether it has started there.
        started: bool,
        /// Whether it is asked for back.
        recalled: bool,
    },
}

impl Reason {
    /// How a host stands to the run because of this.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match self {
            Self::LacksLabel(_)
            | Self::LacksResource { .. }
            | Self::NotAllowed(_)
            | Self::NoSlots
            | Self::Lost { .. } => Standing::Never,
            Self::Draining | Self::Silent(_) | Self::Paused(_) => Standing::NotNow,
            Self::ResourceBusy { .. } | Self::Busy { .. } | Self::KeepsSlot | Self::Suspect => {
                Standing::Busy
            }
            Self::GettingComponent | Self::HasIt { .. } => Standing::Free,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LacksLabel(label) => write!(f, "lacks the label {label}"),
            Self::LacksResource { name, asked, has } if has.is_zero() => {
                write!(f, "has no {name}, {asked} asked for")
            }
            Self::LacksResource { name, asked, has } => {
                write!(f, "has {has} of {name}, {asked} asked for")
            }
            Self::ResourceBusy { name, asked, has, free } => {
                write!(f, "has {has} of {name}, {asked} asked for and {free} free")
            }
            Self::NotAllowed(what) => f.write_str(what),
            Self::NoSlots => f.write_str("has no slots"),
            Self::Draining => f.write_str("is draining"),
            Self::Silent(time) => write!(f, "has been silent for {}", seconds(*time)),
            Self::Paused(time) => {
                write!(f, "refused a run and gets nothing for {}", seconds(*time))
            }
            Self::Lost { ago, why } => write!(f, "was lost {} ago: {why}", seconds(*ago)),
            Self::Busy { runs, slots } => {
                let (s, t) = (plural(*runs), plural(*slots));
                write!(f, "is busy with {runs} run{s} in {slots} slot{t}")
            }
            Self::KeepsSlot => f.write_str("keeps its next slot for a run that waits for one"),
            Self::Suspect => {
                f.write_str("has another run that hosts were lost with, and gets one at a time")
            }
            Self::GettingComponent => f.write_str("is getting the component"),
            Self::HasIt { started: true, .. } => f.write_str("has it, and it has started"),
            Self::HasIt { recalled: true, .. } => {
                f.write_str("has it, and is asked to give it back to an idle host")
            }
            Self::HasIt { .. } => f.write_str("has it, and it has not started"),
        }
    }
}

/// How one host stands to one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostVerdict {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: Arc<str>,
    /// All that keeps the run from it or is worth knowing; empty when it could take the run now.
    pub reasons: Vec<Reason>,
}

impl HostVerdict {
    /// How the host stands to the run: as its gravest reason says.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.reasons.iter().map(Reason::standing).max().unwrap_or(Standing::Free)
    }
}

impl fmt::Display for HostVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name)?;
        if self.reasons.is_empty() {
            return f.write_str("can take it");
        }
        for (place, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// A number for what verdicts say, but for amounts and times that go on changing: what was told
/// once is told again only when this changes.
pub(crate) fn gist(verdicts: &[HostVerdict]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for verdict in verdicts {
        verdict.host.hash(&mut hasher);
        for reason in &verdict.reasons {
            std::mem::discriminant(reason).hash(&mut hasher);
            match reason {
                Reason::LacksLabel(text) | Reason::NotAllowed(text) => text.hash(&mut hasher),
                Reason::LacksResource { name, asked, has } => {
                    (name, asked, has).hash(&mut hasher);
                }
                Reason::ResourceBusy { name, .. } => name.hash(&mut hasher),
                _ => {}
            }
        }
    }
    hasher.finish()
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{} s", time.as_secs())
    }
}
