//! How links fail, in words for a person.

use std::time::Duration;

use sandmill_wire::Digest;

use crate::message::{Goodbye, Versions};

/// Why there is no link, or no longer, or why a value did not come over it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// There is nobody at the address, or no way to it.
    #[error("cannot connect to {address}: {why}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// Certificates and address do not fit each other: nothing was tried.
    #[error("{0}")]
    Security(String),
    /// One side did not take the other's certificate.
    #[error("{0}")]
    Tls(String),
    /// The other side said why not.
    #[error("the worker refused: {}", heard(.0))]
    Refused(#[source] Goodbye),
    /// The worker chose a version of the protocol that this side does not speak.
    #[error(
        "the worker speaks version {theirs} of the protocol, this side {} to {}: use releases that \
         are closer",
        ours.least, ours.most
    )]
    Version {
        /// Those of this side.
        ours: Versions,
        /// That of the worker.
        theirs: u32,
    },
    /// The other side did what the protocol does not have; nothing more is taken from it.
    #[error("the other side broke the protocol: {0}")]
    Protocol(String),
    /// It took too long.
    #[error("{what} took longer than {after:?}")]
    TimedOut {
        /// What did.
        what: &'static str,
        /// How long it may take.
        after: Duration,
    },
    /// The connection is gone.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// The bytes that came are not those that were asked for.
    #[error("what came for {0} does not have this digest")]
    WrongDigest(Digest),
    /// The value is larger than whoever asked for it takes.
    #[error("{size} bytes are more than {limit}")]
    TooLarge {
        /// Its size in bytes, or how much came.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl LinkError {
    /// Whether another try at the same address may go otherwise without anybody's doing. A
    /// certificate or a version that does not fit stays so.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::TimedOut { .. } | Self::Lost(_) => true,
            Self::Refused(goodbye) => matches!(goodbye, Goodbye::Busy(_) | Goodbye::Leaving(_)),
            _ => false,
        }
    }
}

/// What a goodbye says, as whoever hears it would say it.
pub(super) fn heard(goodbye: &Goodbye) -> String {
    match *goodbye {
        Goodbye::Version { ours, theirs } => {
            Goodbye::Version { ours: theirs, theirs: ours }.to_string()
        }
        ref other => other.to_string(),
    }
}

/// Why a message was not taken to be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link has ended. The receiver says why.
    #[error("the link has ended")]
    Closed,
    /// There is no room for the moment (`try_send` only).
    #[error("the link is full")]
    Full,
    /// One item of the message is too large for a frame: it has to go by digest.
    #[error("a message of {0} bytes is too large for a link")]
    TooLarge(usize),
}

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address can be reached from other machines, and nothing would keep strangers out.
    #[error(
        "{0} can be reached from other machines, so it takes certificates or a join token: make \
         them with `sandmill cert init` and `sandmill cert issue`, or use a unix: or tcp:// address"
    )]
    Open(String),
    /// TLS on an address without it.
    #[error("{0} has no TLS: write the address as tls://HOST:PORT")]
    NotTls(String),
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {why}")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// What the server was given to know others by does not do.
    #[error("{0}")]
    Security(String),
}
