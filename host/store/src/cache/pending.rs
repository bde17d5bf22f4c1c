//! Results on their way to the disk: found like those that are there, so that no call is made twice
//! because of how long a write takes. Bounded; what is there already is in `table`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use sandmill_wire::Digest;

use super::entry::NewCached;
use super::key::KeyDigest;
use crate::StoreError;
use crate::ask::Answer;

/// Bytes of results on their way to the disk: 32 MiB. A result beyond that is not kept: what flows
/// have to write down does not wait for the cache.
pub const MAX_PENDING_CACHE_BYTES: u64 = 32 << 20;
/// Results on their way to the disk.
const MAX_PENDING: usize = 65_536;
/// Bytes that an entry takes beside value and arguments.
const ENTRY_OVERHEAD: u64 = 512;

/// How a write went: told once, after it is on disk.
pub(super) type Written = Receiver<Result<Answer, StoreError>>;

/// What became of writes that are over.
#[derive(Default)]
pub(super) struct Swept {
    /// The last thing that went wrong.
    pub(super) fault: Option<StoreError>,
    /// Blobs that may have lost their readers.
    pub(super) orphans: Vec<Digest>,
}

/// Results that wait for the writer, in the order in which it takes them.
#[derive(Default)]
pub(super) struct Pending {
    by_key: HashMap<KeyDigest, Arc<NewCached>>,
    order: VecDeque<(Arc<NewCached>, Written)>,
    bytes: u64,
}

impl Pending {
    /// Whether there is room for one more.
    pub(super) fn has_room(&self, entry: &NewCached) -> bool {
        let bytes = self.bytes.saturating_add(weight(entry));
        self.order.len() < MAX_PENDING && bytes <= MAX_PENDING_CACHE_BYTES
    }

    /// Holds on to one until it is written.
    pub(super) fn push(&mut self, entry: Arc<NewCached>, written: Written) {
        self.bytes += weight(&entry);
        self.by_key.insert(entry.key.digest(), Arc::clone(&entry));
        self.order.push_back((entry, written));
    }

    /// The one under this key.
    pub(super) fn get(&self, key: KeyDigest) -> Option<Arc<NewCached>> {
        self.by_key.get(&key).cloned()
    }

    /// Lets go of those that are written, or will never be.
    pub(super) fn sweep(&mut self) -> Swept {
        let mut swept = Swept::default();
        while let Some((_, written)) = self.order.front() {
            match written.try_recv() {
                Err(TryRecvError::Empty) => break,
                Ok(Ok(Answer::Part { blobs, .. })) => swept.orphans.extend(blobs),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => swept.fault = Some(error),
                Err(TryRecvError::Disconnected) => swept.fault = Some(StoreError::Closed),
            }
            let Some((entry, _)) = self.order.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(weight(&entry));
            let key = entry.key.digest();
            // A later one under the same key waits for its own write.
            if self.by_key.get(&key).is_some_and(|kept| Arc::ptr_eq(kept, &entry)) {
                self.by_key.remove(&key);
            }
        }
        swept
    }

    /// Forgets them all; they are written nevertheless.
    pub(super) fn forget(&mut self) {
        self.by_key.clear();
    }
}

fn weight(entry: &NewCached) -> u64 {
    let arguments = entry.key.arguments().len_bytes() as u64;
    (entry.value.len_bytes() as u64).saturating_add(arguments).saturating_add(ENTRY_OVERHEAD)
}
