//! Files of certificates and keys: never written over, and keys for their owner's eyes only.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::CertError;

/// The largest file of a certificate or a key that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Keeps a secret in a new file that only its owner can read.
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<(), CertError> {
    write(path, text, 0o600)
}

/// Two new files: of a certificate, which all can read, and of its key, which only its owner can.
/// Both, or none.
pub(super) fn write_pair(
    (certificate, pem): (&Path, &str),
    (key, secret): (&Path, &str),
) -> Result<(), CertError> {
    write(certificate, pem, 0o644)?;
    write_private(key, secret).inspect_err(|_| {
        // It was made just now, and is of no use to anybody.
        let _ = std::fs::remove_file(certificate);
    })
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => CertError::Exists(path.to_owned()),
        _ => CertError::Write { path: path.to_owned(), error },
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // Half of it would keep the next try from being made.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertError> {
    let failed = |error| CertError::Read { path: path.to_owned(), error };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(failed(io::Error::other("it is too large to be a certificate or a key")));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(failed)
}
