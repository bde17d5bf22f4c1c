//! `wasi:io/poll`, and the limits on what one host call may be asked for.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll;

use crate::host::State;
use crate::keeping::{MAX_LISTED_ENTRIES, MAX_WRITE_BYTES};

/// Random bytes that one host call gives: 1 MiB.
pub const MAX_RANDOM_BYTES: u64 = 1 << 20;
/// Pollables in one `poll`.
pub const MAX_POLL_LIST: usize = 1_000;

/// A host call that asked for too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostLimit {
    #[error("{asked} random bytes were asked for at once, the limit is {MAX_RANDOM_BYTES}")]
    RandomBytes { asked: u64 },
    #[error("{asked} pollables were polled at once, the limit is {MAX_POLL_LIST}")]
    PollList { asked: usize },
    #[error("{asked} bytes were written at once, the limit is {MAX_WRITE_BYTES}")]
    Write { asked: usize },
    #[error(
        "the listings of directories that are open have more than {MAX_LISTED_ENTRIES} entries"
    )]
    ListedEntries,
}

impl poll::Host for State {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.len() > MAX_POLL_LIST {
            return Err(HostLimit::PollList { asked: pollables.len() }.into());
        }
        poll::Host::poll(&mut self.table, pollables).await
    }
}

impl poll::HostPollable for State {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(&mut self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::block(&mut self.table, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}
