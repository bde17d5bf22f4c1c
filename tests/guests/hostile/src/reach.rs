//! Reaching for what was not granted, and holding on to more than is good.

use std::fs::{self, File};
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::Path;

use sandmill_guest::{Failure, task};
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip2::io::poll;

/// Waits on a pollable that is never ready.
#[task]
pub(crate) fn sleep_forever() {
    subscribe_duration(u64::MAX).block();
}

/// Holds pollables until there are no more.
#[task]
pub(crate) fn devour_handles(count: usize) -> usize {
    let held: Vec<_> = (0..count).map(|_| subscribe_duration(1)).collect();
    held.len()
}

/// Holds open files until there are no more.
#[task]
pub(crate) fn open_files(path: String, count: usize) -> Result<usize, Failure> {
    let held: Vec<File> = (0..count).map(|_| File::open(&path)).collect::<Result<_, _>>()?;
    Ok(held.len())
}

/// Polls one pollable many times over.
#[task]
pub(crate) fn poll_a_lot(count: usize) -> usize {
    let pollable = subscribe_duration(1);
    poll::poll(&vec![&pollable; count]).len()
}

/// Asks for more randomness than there is memory.
#[task]
pub(crate) fn all_of_the_randomness(bytes: u64) -> usize {
    wasip2::random::random::get_random_bytes(bytes).len()
}

/// Tries to get at a path by every means there are; each that succeeded.
#[task]
pub(crate) fn poke(path: String) -> Vec<String> {
    let path = Path::new(&path);
    let mut open = Vec::new();
    let mut tried = |what: &str, worked: bool| {
        if worked {
            open.push(what.to_owned());
        }
    };
    tried("metadata", fs::metadata(path).is_ok());
    tried("read", fs::read(path).is_ok());
    tried("list", fs::read_dir(path).is_ok());
    tried("link metadata", fs::symlink_metadata(path).is_ok());
    tried("write", fs::write(path, b"changed").is_ok());
    tried("truncate", File::options().write(true).truncate(true).open(path).is_ok());
    tried("append", File::options().append(true).open(path).is_ok());
    tried("create", File::create_new(path).is_ok());
    tried("hard link", fs::hard_link(path, "/granted/hard").is_ok());
    tried("rename from", fs::rename(path, "/granted/moved").is_ok());
    tried("rename to", fs::rename("/granted/inside", path).is_ok());
    tried("make folder", fs::create_dir(path).is_ok());
    tried("remove", fs::remove_file(path).is_ok());
    tried("remove folder", fs::remove_dir(path).is_ok());
    // Past the checks that Rust's library makes of paths: straight to the host.
    for (descriptor, _) in get_directories() {
        let text = path.to_str().unwrap_or_default();
        let inside = text.trim_start_matches("/granted/");
        for text in [text, text.trim_start_matches('/'), inside] {
            let flags = (PathFlags::SYMLINK_FOLLOW, OpenFlags::empty(), DescriptorFlags::READ);
            tried("raw open", descriptor.open_at(flags.0, text, flags.1, flags.2).is_ok());
            let flags = (OpenFlags::TRUNCATE, DescriptorFlags::WRITE);
            tried(
                "raw truncate",
                descriptor.open_at(PathFlags::empty(), text, flags.0, flags.1).is_ok(),
            );
            tried("raw stat", descriptor.stat_at(PathFlags::SYMLINK_FOLLOW, text).is_ok());
            tried("raw unlink", descriptor.unlink_file_at(text).is_ok());
        }
    }
    open
}

/// Makes a symbolic link in a granted directory.
#[task]
pub(crate) fn make_link(target: String, name: String) -> bool {
    get_directories().iter().any(|(folder, _)| folder.symlink_at(&target, &name).is_ok())
}

/// Reads through a path, such as one over a link.
#[task]
pub(crate) fn follow_link(path: String) -> Result<String, Failure> {
    Ok(fs::read_to_string(path)?)
}

/// Looks up a name.
#[task]
pub(crate) fn resolve(peer: String) -> Result<usize, Failure> {
    Ok(peer.to_socket_addrs()?.count())
}

/// Sends a datagram.
#[task]
pub(crate) fn send_datagram(peer: String) -> Result<usize, Failure> {
    Ok(UdpSocket::bind("0.0.0.0:0")?.send_to(b"hello", peer)?)
}
