//! What a server has to tell its host of those who connect. This crate never prints.

use std::fmt;

/// Something that happened at a server which its host's log should have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Somebody was let in.
    Opened {
        /// Who.
        peer: String,
    },
    /// Somebody was not let in, or was refused something.
    Refused {
        /// Who: a name and an address, or the address only.
        peer: String,
        /// Why.
        why: String,
    },
    /// More were refused than are told of one by one.
    MoreRefused {
        /// How many.
        count: u64,
    },
    /// A link ended otherwise than by a goodbye.
    Broken {
        /// Whose.
        peer: String,
        /// Why.
        why: String,
    },
    /// A value that somebody sent did not come to its end.
    BrokenOff {
        /// Who.
        peer: String,
        /// How much of it came, and why not more.
        what: String,
    },
    /// A message was too large to be sent, and something smaller was said in its place, or nothing.
    TooLarge {
        /// To whom.
        peer: String,
        /// What it was.
        what: String,
    },
    /// Connections could not be taken for a moment.
    Accept {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { peer } => write!(f, "{peer} has connected"),
            Self::Refused { peer, why } => write!(f, "refused {peer}: {why}"),
            Self::MoreRefused { count } => write!(f, "… and refused {count} more"),
            Self::Broken { peer, why } => write!(f, "lost the link with {peer}: {why}"),
            Self::BrokenOff { peer, what } => write!(f, "what {peer} sent broke off: {what}"),
            Self::TooLarge { peer, what } => write!(f, "could not send to {peer}: {what}"),
            Self::Accept { why } => write!(f, "cannot take connections: {why}"),
        }
    }
}

/// Takes notices. It is called on the tasks that serve connections, so it must not block.
pub trait Notices: Send + Sync {
    /// Something happened.
    fn notice(&self, notice: Notice);
}

impl<F: Fn(Notice) + Send + Sync> Notices for F {
    fn notice(&self, notice: Notice) {
        self(notice);
    }
}

/// Takes notices and keeps none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Notices for Silent {
    fn notice(&self, _: Notice) {}
}
