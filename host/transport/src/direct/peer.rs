//! Who is at the other end of a connection.

use std::fmt;

use super::Life;
use crate::security::Role;

/// Who connected.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The name in its certificate; `local` where there is none.
    pub name: String,
    /// What it may do. Without TLS whoever reaches the socket is taken for its user, who may
    /// submit.
    pub role: Role,
    /// Where it comes from: an IP address and a port, or `unix`.
    pub address: String,
    /// What is noted of the bytes that come from it.
    pub life: Life,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}
