//! What one side of a link shows of itself: its certificate and key, and whom it takes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::Role;
use crate::cert::{CertError, CertificateInfo, describe_der};

/// The largest file of certificates or of a key that is read, in bytes.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// A certificate with its key, and the authorities whose certificates are taken.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
    info: CertificateInfo,
    until: Option<UnixTime>,
    server_name: Option<&'static str>,
}

/// Why an identity cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not {what}: {why}", path.display())]
    NotPem {
        /// Which.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        why: String,
    },
    /// The certificate is for something else.
    #[error(
        "the certificate has the role `{has}`, and `{needed}` is needed here: make one with \
         `sandmill cert issue {needed}`"
    )]
    Role {
        /// The role that is needed.
        needed: Role,
        /// The role that it has.
        has: Role,
    },
    /// The certificate itself is not one of Sandmill's.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// Certificate, key and authority do not fit each other.
    #[error("the certificate or its key cannot be used: {0}")]
    Unusable(String),
}

impl Identity {
    /// Reads PEM files: a certificate (with others between it and the authority, if there are
    /// any), its key, and the certificates of the authorities that are taken.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(certificate: &Path, key: &Path, authority: &Path) -> Result<Self, IdentityError> {
        let chain = certificates(certificate)?;
        let text = read(key)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|why| IdentityError::NotPem {
            path: key.to_owned(),
            what: "a private key in PEM",
            why: why.to_string(),
        })?;
        Self::new(chain, key, certificates(authority)?)
    }

    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, IdentityError> {
        let first = chain.first().ok_or_else(|| IdentityError::Unusable("there is none".into()))?;
        let info = describe_der(first)?;
        if info.role.is_none() {
            return Err(IdentityError::Certificate(CertError::NoRole));
        }
        Ok(Self { chain, key, authorities, info, until: None, server_name: None })
    }

    /// Neither shown nor taken after `until`, and with this name in place of the server's host.
    pub(crate) fn limited(mut self, until: UnixTime, server_name: &'static str) -> Self {
        self.until = Some(until);
        self.server_name = Some(server_name);
        self
    }

    /// What the certificate says.
    #[must_use]
    pub const fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// What its holder is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.info.role.expect("an identity without a role is not made")
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    pub(super) const fn until(&self) -> Option<UnixTime> {
        self.until
    }

    pub(super) const fn server_name(&self) -> Option<&'static str> {
        self.server_name
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, IdentityError> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots
                .add(authority.clone())
                .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        }
        Ok(roots)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("info", &self.info).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let error = |error| IdentityError::Read { path: path.to_owned(), error };
    let size = std::fs::metadata(path).map_err(error)?.len();
    if size > MAX_PEM_BYTES {
        return Err(error(io::Error::other("it is too large to be a certificate or a key")));
    }
    std::fs::read(path).map_err(error)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let wrong = |why: String| IdentityError::NotPem {
        path: path.to_owned(),
        what: "a certificate in PEM",
        why,
    };
    let text = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("there is none in it".to_owned()));
    }
    Ok(chain)
}
