//! The lock of a data directory: one writer at a time, who says who it is.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use sandmill_core::{Clock, Timestamp};
use sandmill_wire::RunId;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::failpoint::hit;

/// How often a lock that somebody else holds is asked for again.
const AGAIN: Duration = Duration::from_millis(20);

/// How long a look at the holder may take ([`Holder::of`]).
const GLANCE: Duration = Duration::from_millis(60);

/// No holder says more than this about itself.
const MAX_CONTENTS: u64 = 4096;

/// Holds a data directory. The system lets go of it when the process ends, however it ends.
pub(crate) struct Lock {
    _file: File,
    /// The id of this holding: no other has the same one.
    pub(crate) session: [u8; 16],
}

/// Who holds a data directory, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The name of the machine it runs on.
    pub host: String,
    /// What it is: `sandmill run census`.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
    /// The id of this holding: no other has the same one.
    pub session: RunId,
}

impl Holder {
    /// Who holds the directory now; none when nobody does. One that has not said so yet has
    /// process 0.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join("lock");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(StoreError::io(&path, error.into())),
        };
        loop {
            // Shared, so that two that look do not take each other for a holder. It is let go of
            // with the file, at once.
            match flock(&file, FlockOperation::NonBlockingLockShared) {
                Ok(()) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(error) => return Err(StoreError::io(&path, error.into())),
            }
        }
        let mut text = Vec::new();
        let read = (&mut file).take(MAX_CONTENTS).read_to_end(&mut text);
        read.map_err(|error| StoreError::io(&path, error))?;
        Ok(Some(serde_json::from_slice(&text).unwrap_or_else(|_| Self {
            pid: 0,
            host: String::new(),
            holder: "it has not said who it is".to_owned(),
            since: Timestamp::default(),
            session: RunId::from_bytes([0; 16]),
        })))
    }
}

impl Lock {
    /// Takes the directory, waiting no longer than `wait` for whoever has it.
    pub(crate) fn take(dir: &Path, holder: &str, wait: Duration) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let fault = |error: rustix::io::Errno| StoreError::io(&path, error.into());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file =
            File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(fault)?);
        let asked = Instant::now();
        // Whoever looks who holds it has it for a moment, and is no reason to refuse.
        let wait = wait.max(GLANCE);
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) if asked.elapsed() >= wait => {
                    return Err(held(&mut file, dir));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    std::thread::sleep(AGAIN.min(wait.saturating_sub(asked.elapsed())));
                }
                Err(error) => return Err(fault(error)),
            }
        }
        // A UUID has enough that is random in it for one holding to be told from all others.
        let session = RunId::new();
        let holder = Holder {
            pid: std::process::id(),
            host: host_name(),
            holder: holder.chars().take(256).collect(),
            since: Clock::system().now(),
            session,
        };
        let lock = Self { session: *session.as_uuid().as_bytes(), _file: file };
        match lock.say(&holder) {
            // Without room on the disk nobody learns who holds it, which is no reason not to.
            Err(error) if !crate::error::is_full(&error) => Err(StoreError::io(&path, error)),
            _ => {
                hit("store-locked");
                Ok(lock)
            }
        }
    }

    fn say(&self, holder: &Holder) -> std::io::Result<()> {
        let mut file = &self._file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&serde_json::to_vec(holder)?)
    }
}

/// The name of this machine; empty where the system does not say it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn held(file: &mut File, dir: &Path) -> StoreError {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(MAX_CONTENTS).read_to_end(&mut text));
    let dir = dir.to_owned();
    match read.ok().and_then(|_| serde_json::from_slice::<Holder>(&text).ok()) {
        Some(Holder { pid, holder, since, .. }) => StoreError::Held { pid, holder, since, dir },
        None => {
            let holder = "it has not said who it is".to_owned();
            StoreError::Held { pid: 0, holder, since: Clock::system().now(), dir }
        }
    }
}

/// Bits of a mode by which others can reach a directory at all.
const REACHED: u32 = 0o077;
/// Bits of a mode by which others can write to a directory.
const WRITTEN: u32 = 0o022;

/// Makes sure of a directory that only this user can reach.
pub(crate) fn private_dir(dir: &Path) -> Result<(), StoreError> {
    own_dir(dir, REACHED, "go=")
}

/// Makes sure of a directory of this user, in whose mode none of the bits `refused` is set.
fn own_dir(dir: &Path, refused: u32, mend: &str) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| StoreError::io(dir, error))?;
    // Not through a link: its target may change between this look and the next use.
    let metadata = dir.symlink_metadata().map_err(|error| StoreError::io(dir, error))?;
    let shown = dir.display();
    let user = rustix::process::geteuid().as_raw();
    if !metadata.is_dir() {
        return Err(StoreError::NotPrivate(format!(
            "{shown} is a link or a file, not a directory"
        )));
    }
    if metadata.uid() != user {
        let owner = metadata.uid();
        return Err(StoreError::NotPrivate(format!("{shown} belongs to another user ({owner})")));
    }
    if metadata.mode() & refused != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(StoreError::NotPrivate(format!(
            "{shown} is open to other users (mode {mode:03o}): run `chmod {mend} {shown}`"
        )));
    }
    Ok(())
}

/// Makes sure of the data directory, whose own place in the file system has to last as well. It is
/// made private; one that was there already may be seen by others, as most directories that people
/// make are, but not written to: what is in it is private for itself.
pub(crate) fn lasting_dir(dir: &Path) -> Result<(), StoreError> {
    let new = |dir: &&Path| dir.symlink_metadata().is_err();
    let made: Vec<&Path> = dir.ancestors().skip(1).take_while(new).collect();
    own_dir(dir, WRITTEN, "go-w")?;
    // The directory itself in any case: who made it may have been killed before it came to this.
    for dir in made.into_iter().rev().chain([dir]) {
        let parent = match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => continue,
        };
        match sync_dir(parent) {
            // One that may not be read cannot be synced. It is not ours: ours can.
            Err(StoreError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Makes an empty file that only this user can reach, where there is none. SQLite gives the files
/// that it makes beside a database the mode of the database.
pub(crate) fn private_file(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(StoreError::io(path, error))
        }
        _ => Ok(()),
    }
}

/// Makes what was made, renamed or removed in a directory last.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|error| StoreError::io(dir, error))
}
