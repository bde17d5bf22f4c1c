//! What a guest can make the host keep for it, where wasmtime's own host functions know no bound:
//! single writes, the text of HTTP requests, listings of directories. Each such function is put
//! before the library's, which does the work.

use std::collections::HashMap;
use std::sync::Arc;

use rustix::fs::{Dir, Mode, OFlags};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType, WasmList};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types::{self as filesystem, ErrorCode};
use wasmtime_wasi::p2::bindings::io::streams::{self, StreamError};
use wasmtime_wasi::p2::{DynOutputStream, ReaddirIterator};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{self as http, Method};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;

use crate::host::State;
use crate::io::HostLimit;

/// Bytes that a guest may write at a time: what `check-write` of every stream allows.
pub(crate) const MAX_WRITE_BYTES: usize = 64 << 10;
/// Entries in all listings of directories that a run has open at a time. The host holds each
/// listing whole, about 50 bytes an entry.
pub const MAX_LISTED_ENTRIES: usize = 1_000_000;

/// Bytes of a request's method. The longest in use has 17.
const MAX_METHOD_BYTES: usize = 256;
/// Bytes of a request's authority: a name of 253 bytes, a port, and then some.
const MAX_AUTHORITY_BYTES: usize = 1 << 10;

/// Open listings and their entries, by the listing's handle.
#[derive(Default)]
pub(crate) struct Listings(HashMap<u32, usize>);

impl Listings {
    fn left(&self) -> usize {
        MAX_LISTED_ENTRIES.saturating_sub(self.0.values().sum())
    }
}

/// Puts the bounds before functions that are linked already.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    link_writes(linker)?;
    link_requests(linker)?;
    link_listings(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn link_writes(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Write = (Resource<DynOutputStream>, WasmList<u8>);
    linker.instance("wasi:io/streams@0.2.12")?.func_wrap(
        "[method]output-stream.write",
        |mut store: StoreContextMut<'_, State>, (stream, bytes): Write| {
            // Looked at before it is copied.
            if bytes.len() > MAX_WRITE_BYTES {
                return Err(HostLimit::Write { asked: bytes.len() }.into());
            }
            let bytes = bytes.as_le_slice(&store).to_vec();
            let table = &mut store.data_mut().table;
            let written: Result<(), StreamError> =
                match streams::HostOutputStream::write(table, stream, bytes) {
                    Ok(()) => Ok(()),
                    Err(error) => Err(streams::Host::convert_stream_error(table, error)?),
                };
            Ok((written,))
        },
    )
}

fn link_requests(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, State>,
         (request, method): (Resource<HostOutgoingRequest>, Method)| {
            if matches!(&method, Method::Other(name) if name.len() > MAX_METHOD_BYTES) {
                return Ok((Err(()),));
            }
            let http = &mut store.data_mut().http();
            Ok((http::HostOutgoingRequest::set_method(http, request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, State>,
         (request, authority): (Resource<HostOutgoingRequest>, Option<String>)| {
            if authority.as_ref().is_some_and(|text| text.len() > MAX_AUTHORITY_BYTES) {
                return Ok((Err(()),));
            }
            let http = &mut store.data_mut().http();
            Ok((http::HostOutgoingRequest::set_authority(http, request, authority)?,))
        },
    )
}

fn link_listings(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, State>, (directory,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let state = store.data_mut();
                Ok((read_directory(state, directory).await?,))
            })
        },
    )?;
    types.resource(
        "directory-entry-stream",
        ResourceType::host::<ReaddirIterator>(),
        |mut store, handle| {
            let state = store.data_mut();
            state.listings.0.remove(&handle);
            let listing = Resource::new_own(handle);
            filesystem::HostDirectoryEntryStream::drop(&mut state.filesystem(), listing)
        },
    )
}

async fn read_directory(
    state: &mut State,
    directory: Resource<Descriptor>,
) -> wasmtime::Result<Result<Resource<ReaddirIterator>, ErrorCode>> {
    let mut entries = 0;
    if let Descriptor::Dir(directory) = state.table.get(&directory)? {
        let directory = Arc::clone(&directory.dir);
        let left = state.listings.left();
        // Counting takes no memory, and a fraction of the time of listing.
        let counted = tokio::task::spawn_blocking(move || count(&directory, left)).await?;
        entries = match counted {
            Some(entries) => entries,
            None => return Err(HostLimit::ListedEntries.into()),
        };
    }
    let filesystem = &mut state.filesystem();
    match filesystem::HostDescriptor::read_directory(filesystem, directory).await {
        Ok(listing) => {
            state.listings.0.insert(listing.rep(), entries);
            Ok(Ok(listing))
        }
        Err(error) => Ok(Err(filesystem::Host::convert_error_code(filesystem, error)?)),
    }
}

/// The entries of a directory; none when there are more than `limit`. One that cannot be read has
/// none: whoever lists it next says why.
fn count(directory: &std::fs::File, limit: usize) -> Option<usize> {
    // Opened anew: what a guest holds may be a mere path to the directory (`O_PATH`).
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, ".", flags, Mode::empty());
    let Ok(entries) = opened.and_then(Dir::new) else { return Some(0) };
    let count = entries.take(limit.saturating_add(1)).take_while(Result::is_ok).count();
    (count <= limit).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        for flags in [OFlags::RDONLY, OFlags::PATH] {
            let directory = rustix::fs::open(folder.path(), flags, Mode::empty()).unwrap();
            let directory = std::fs::File::from(directory);
            // With `.` and `..`.
            assert_eq!(count(&directory, 5), Some(5));
            assert_eq!(count(&directory, 4), None);
        }
        assert_eq!(count(&std::fs::File::open("/dev/null").unwrap(), 0), Some(0));
    }

    #[test]
    fn open_listings_share_one_limit() {
        let mut listings = Listings::default();
        assert_eq!(listings.left(), MAX_LISTED_ENTRIES);
        listings.0.insert(1, 400_000);
        listings.0.insert(2, 600_000);
        assert_eq!(listings.left(), 0);
        listings.0.remove(&1);
        assert_eq!(listings.left(), 400_000);
    }
}
