//! Why a certificate cannot be made, kept or read.

use std::io;
use std::path::PathBuf;

/// Why a certificate cannot be made, kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertError {
    /// There is a file already: nothing is written over.
    #[error("{} is there already: move it away, or choose another directory", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Bytes that are not a certificate or a key.
    #[error("not a certificate and key in PEM: {0}")]
    NotPem(String),
    /// A name that cannot stand in a certificate.
    #[error("`{0}` is not the name or the address of a host")]
    Name(String),
    /// It would be valid for too long, or not at all.
    #[error("a certificate is valid for at least a second and at most ten years")]
    Validity,
    /// It says nothing of what its holder is.
    #[error("it has no role: it was not made by `sandmill cert issue`")]
    NoRole,
    /// It says more than one thing of what its holder is.
    #[error("it has more than one role")]
    Roles,
    /// It says something unknown of what its holder is.
    #[error(transparent)]
    UnknownRole(#[from] crate::security::RoleError),
    /// It could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

impl From<rcgen::Error> for CertError {
    fn from(error: rcgen::Error) -> Self {
        Self::Make(error.to_string())
    }
}
