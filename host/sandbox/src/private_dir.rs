//! Directories and files that only this user can reach: without that, whoever can write there
//! can run code in this process.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Makes sure of a directory that only this user can reach.
///
/// # Errors
/// Why it is not one, for a person.
pub(crate) fn ensure(path: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
    // Not through a link: its target may change between this look and the next use.
    let metadata = path
        .symlink_metadata()
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if !metadata.is_dir() {
        return Err(format!("{} is a link or a file, not a directory", path.display()));
    }
    check_owner(path, &metadata)
}

fn check_owner(path: &Path, metadata: &std::fs::Metadata) -> Result<(), String> {
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(format!("{} belongs to another user ({})", path.display(), metadata.uid()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(format!(
            "{} is open to other users (mode {:03o}): run `chmod go= {}`",
            path.display(),
            metadata.mode() & 0o777,
            path.display()
        ));
    }
    Ok(())
}

/// Opens a file for reading, not through a link and never waiting for one end of a FIFO.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Reads a whole file of no more than `limit` bytes.
pub(crate) fn read(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    // One byte more, so that a file that has just grown does not look whole.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    (&mut &*file).take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok(bytes)
}

/// The secret key in the file `key` of a private directory; made there when there is none.
///
/// # Errors
/// Why there is no such key, for a person.
pub(crate) fn secret_key(directory: &Path) -> Result<[u8; 32], String> {
    let path = directory.join("key");
    let fault = |what: &dyn std::fmt::Display| format!("the key {}: {what}", path.display());
    if let Err(error) = path.symlink_metadata()
        && error.kind() == io::ErrorKind::NotFound
    {
        make_key(directory, &path).map_err(|error| fault(&error))?;
    }
    let file = open(&path).map_err(|error| fault(&error))?;
    let metadata = file.metadata().map_err(|error| fault(&error))?;
    check_owner(&path, &metadata)?;
    let bytes = read(&file, 32).map_err(|error| fault(&error))?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        fault(&format_args!("it has {} bytes, not 32: delete it", bytes.len()))
    })
}

/// Makes a key, whole or not at all; one that another process has just made stays.
fn make_key(directory: &Path, path: &Path) -> io::Result<()> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let mut file = tempfile::Builder::new().prefix(".key").tempfile_in(directory)?;
    io::Write::write_all(&mut file, &key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}
