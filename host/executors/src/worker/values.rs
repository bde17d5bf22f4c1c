//! Large values that a worker keeps: arguments for orders to come, and results until they are
//! settled. Plain state.

use std::collections::HashMap;

use bytes::Bytes;
use sandmill_wire::Digest;

use super::config::MAX_VALUES;

struct Kept {
    bytes: Bytes,
    last_used: u64,
}

/// Large arguments that were sent before the orders that name them. Those that nobody has named
/// for longest go first.
pub(super) struct Values {
    kept: HashMap<Digest, Kept>,
    /// Bytes that are taken, and set aside for what is on its way.
    bytes: u64,
    on_the_way: usize,
    bound: u64,
    uses: u64,
}

impl Values {
    pub(super) fn new(bound: u64) -> Self {
        Self { kept: HashMap::new(), bytes: 0, on_the_way: 0, bound, uses: 0 }
    }

    /// The most that one value may have.
    pub(super) const fn bound(&self) -> u64 {
        self.bound
    }

    pub(super) fn get(&mut self, digest: &Digest) -> Option<Bytes> {
        self.uses += 1;
        let kept = self.kept.get_mut(digest)?;
        kept.last_used = self.uses;
        Some(kept.bytes.clone())
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, digest: &Digest) -> Option<Bytes> {
        let kept = self.kept.remove(digest)?;
        self.bytes -= kept.bytes.len() as u64;
        Some(kept.bytes)
    }

    /// Sets room aside for a value on its way; whether there is any.
    pub(super) fn set_aside(&mut self, size: u64) -> bool {
        while self.bytes.saturating_add(size) > self.bound
            || self.kept.len() + self.on_the_way >= MAX_VALUES
        {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.last_used);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else { return false };
            self.remove(&oldest);
        }
        self.bytes += size;
        self.on_the_way += 1;
        true
    }

    /// Gives room back.
    pub(super) const fn give_back(&mut self, size: u64) {
        self.bytes -= size;
        self.on_the_way -= 1;
    }

    /// Keeps a value, in room that was given back just before.
    pub(super) fn keep(&mut self, digest: Digest, bytes: Bytes) {
        self.uses += 1;
        self.remove(&digest);
        self.bytes += bytes.len() as u64;
        self.kept.insert(digest, Kept { bytes, last_used: self.uses });
    }

    /// Bytes that are taken or set aside.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Large results, each for as long as a report names it.
#[derive(Default)]
pub(super) struct Results(HashMap<Digest, (Bytes, usize)>);

impl Results {
    pub(super) fn keep(&mut self, digest: Digest, bytes: Bytes) {
        self.0.entry(digest).or_insert((bytes, 0)).1 += 1;
    }

    /// Notes that one more report names it.
    pub(super) fn keep_too(&mut self, digest: &Digest) {
        if let Some((_, reports)) = self.0.get_mut(digest) {
            *reports += 1;
        }
    }

    pub(super) fn release(&mut self, digest: &Digest) {
        if let Some((_, reports)) = self.0.get_mut(digest) {
            *reports -= 1;
            if *reports == 0 {
                self.0.remove(digest);
            }
        }
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.0.get(digest).map(|(bytes, _)| bytes.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
