//! What a test does inside of a host's namespace.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread::{self, JoinHandle};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Does something in a namespace, on a thread of its own: a namespace is a thread's.
pub fn inside<T: Send + 'static>(
    namespace: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<Result<T, String>> {
    let path = Path::new("/run/netns").join(namespace);
    thread::spawn(move || {
        let space = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| format!("cannot move to {}: {error}", path.display()))?;
        Ok(work())
    })
}
