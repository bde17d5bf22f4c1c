//! What a certificate allows its holder. Which role may call which method is in `direct::methods`.

use std::fmt;
use std::str::FromStr;

/// What the holder of a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It makes runs: whoever connects to a worker demands this of it.
    Worker,
    /// It gives runs to workers.
    Submit,
    /// It looks on.
    Observe,
    /// It may do whatever can be done.
    Admin,
}

/// What the name of a role has before it in a certificate, as a URI beside the names of hosts.
const URI: &str = "sandmill:role:";

impl Role {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Worker, Self::Submit, Self::Observe, Self::Admin];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Submit => "submit",
            Self::Observe => "observe",
            Self::Admin => "admin",
        }
    }

    /// How a certificate says it: `sandmill:role:worker`.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{URI}{}", self.name())
    }

    /// The role that a URI of a certificate says; none where it speaks of something else.
    pub(crate) fn of_uri(uri: &str) -> Option<Result<Self, RoleError>> {
        uri.strip_prefix(URI).map(str::parse)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| RoleError(text.chars().take(40).collect()))
    }
}

/// Text that is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: there are worker, submit, observe and admin")]
pub struct RoleError(String);
