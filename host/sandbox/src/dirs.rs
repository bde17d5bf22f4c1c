//! `wasi:filesystem`: which directories of the host a run sees.
//!
//! File operations run on the I/O runtime's blocking threads, not on the slot's own: opening a
//! FIFO or reading from a mount that hangs may block for ever, and only what waits in a future
//! can be ended at the run's deadline. That costs two thread switches an operation. Measured with
//! a guest that reads one small file (open, stat, read, …): 105 µs a run, against 35 µs where the
//! slot's thread blocks itself, and 22 µs for a run that opens nothing. One FIFO that held a slot
//! for good would cost more.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use sandmill_core::{Access, DirCeiling, DirGrant};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// Opens the granted directories, below `roots` where there are some. Read-only ones refuse every
/// change: writing, truncating, creating, renaming, linking and removing.
///
/// # Errors
/// The words of a refusal that name the directory.
pub(crate) fn open(
    builder: &mut WasiCtxBuilder,
    grants: &[DirGrant],
    roots: Option<&[DirCeiling]>,
) -> Result<(), String> {
    for grant in grants {
        let perms = match grant.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        let shown = grant.host.display();
        let cannot = |why: &str| format!("the granted directory {shown} cannot be opened: {why}");
        let opened = match roots {
            None => builder.preopened_dir(&grant.host, &grant.guest, perms),
            Some(roots) => {
                let dir = open_below(grant, roots).map_err(cannot)?;
                // What was found is opened, and not what may have its name by now.
                let found = format!("/proc/self/fd/{}", dir.as_raw_fd());
                builder.preopened_dir(found, &grant.guest, perms)
            }
        };
        opened.map_err(|error| cannot(&format!("{error:#}")))?;
    }
    Ok(())
}

/// Finds a directory below the root that allows it, from there on without leaving it: a run with
/// another grant may have made links below.
fn open_below(grant: &DirGrant, roots: &[DirCeiling]) -> Result<OwnedFd, &'static str> {
    let allows =
        |root: &&DirCeiling| root.access == Access::ReadWrite || grant.access == Access::ReadOnly;
    let below = roots
        .iter()
        .filter(allows)
        .filter_map(|root| grant.host.strip_prefix(&root.host).ok().map(|path| (root, path)));
    // The innermost one, from which the fewest links are followed.
    let (root, path) = below
        .min_by_key(|(_, path)| path.as_os_str().len())
        .ok_or("it is below no directory that is allowed here")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let words = |errno: Errno| match errno {
        Errno::XDEV | Errno::LOOP => "a link leads out of the directory that is allowed here",
        Errno::NOENT => "there is no such directory",
        Errno::NOTDIR => "it is no directory",
        Errno::ACCESS | Errno::PERM => "this process may not open it",
        Errno::NOSYS => "this system cannot keep runs below a directory (openat2)",
        _ => "the system refuses it",
    };
    let root = openat(CWD, &root.host, flags, Mode::empty()).map_err(words)?;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(&root, path, flags, Mode::empty(), beneath).map_err(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn found(grant: &str, roots: &[DirCeiling]) -> Result<std::path::PathBuf, &'static str> {
        let dir = open_below(&grant.parse().unwrap(), roots)?;
        Ok(fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())).unwrap())
    }

    #[test]
    fn no_link_leads_out_of_what_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for name in ["data/in", "data/out", "secret"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        symlink("../secret", at("data/up")).unwrap();
        symlink(at("secret"), at("data/away")).unwrap();
        symlink("in", at("data/within")).unwrap();
        symlink(at("data"), at("named")).unwrap();
        fs::write(at("data/file"), "").unwrap();
        let roots = [
            DirCeiling { host: at("data"), access: Access::ReadOnly },
            DirCeiling { host: at("data/out"), access: Access::ReadWrite },
            // What the operator writes may be a link itself.
            DirCeiling { host: at("named"), access: Access::ReadOnly },
        ];
        let grant = |path: &str, access: &str| format!("{}::/d:{access}", at(path).display());
        for (path, access, leads_to) in [
            ("data", "ro", "data"),
            ("data/in", "ro", "data/in"),
            ("data/within", "ro", "data/in"),
            ("data/out", "rw", "data/out"),
            ("named/in", "ro", "data/in"),
        ] {
            let real = fs::canonicalize(at(leads_to)).unwrap();
            assert_eq!(found(&grant(path, access), &roots), Ok(real), "{path}");
        }
        for (path, access, words) in [
            ("data/up", "ro", "a link leads out"),
            ("data/away", "ro", "a link leads out"),
            ("data/up/..", "ro", "a link leads out"),
            ("data/in", "rw", "below no directory"),
            ("secret", "ro", "below no directory"),
            ("data/none", "ro", "no such directory"),
            ("data/file", "ro", "no directory"),
        ] {
            let why = found(&grant(path, access), &roots).unwrap_err();
            assert!(why.contains(words), "{path}: {why}");
        }
    }
}
