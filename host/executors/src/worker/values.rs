//! Large values that a worker keeps: arguments for orders to come, and results until they are
//! settled. Plain state.

use std::collections::HashMap;

use bytes::Bytes;
use sandmill_wire::Digest;

use super::config::{MAX_VALUES, OTHERS_SHARE};

struct Kept {
    bytes: Bytes,
    last_used: u64,
}

/// Large arguments that were sent before the orders that name them. Those that nobody has named
/// for longest go first.
pub(super) struct Values {
    kept: HashMap<Digest, Kept>,
    /// Bytes that are taken by what is here, and by what is on its way.
    bytes: u64,
    /// What is on its way, by who sends it.
    coming: HashMap<String, Coming>,
    bound: u64,
    uses: u64,
}

/// Values that one side sends.
#[derive(Default)]
struct Coming {
    /// How many bytes each is to have, by its number.
    sizes: HashMap<u64, u64>,
}

impl Values {
    pub(super) fn new(bound: u64) -> Self {
        Self { kept: HashMap::new(), bytes: 0, coming: HashMap::new(), bound, uses: 0 }
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

    /// Begins to take a value of this size from this side, of which this is the number, with room for
    /// its first bytes; whether there is any. A side waits with the next where those that it sends would
    /// leave too little for others. To be ended with [`Self::end`].
    pub(super) fn begin(&mut self, peer: &str, size: u64, first: u64) -> Option<u64> {
        let said: u64 = self.coming.get(peer).map_or(0, |coming| coming.sizes.values().sum());
        if said > 0 && said.saturating_add(size) > self.bound - self.bound / OTHERS_SHARE {
            return None;
        }
        let coming = self.coming.values().map(|coming| coming.sizes.len()).sum::<usize>();
        while self.kept.len() + coming >= MAX_VALUES {
            if !self.forget_oldest() {
                return None;
            }
        }
        if !self.hold(first) {
            return None;
        }
        self.uses += 1;
        let number = self.uses;
        self.coming.entry(peer.to_owned()).or_default().sizes.insert(number, size);
        Some(number)
    }

    /// Takes room for so many more bytes on their way, and lets what is here go for them; whether that
    /// was possible.
    pub(super) fn hold(&mut self, more: u64) -> bool {
        while self.bytes.saturating_add(more) > self.bound {
            if !self.forget_oldest() {
                return false;
            }
        }
        self.bytes += more;
        true
    }

    /// Gives back the room that a value on its way had.
    pub(super) fn end(&mut self, peer: &str, number: u64, held: u64) {
        let Some(coming) = self.coming.get_mut(peer) else { return };
        if coming.sizes.remove(&number).is_some() {
            self.bytes -= held;
        }
        if coming.sizes.is_empty() {
            self.coming.remove(peer);
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.last_used);
        let oldest = oldest.map(|(digest, _)| *digest);
        oldest.is_some_and(|oldest| self.remove(&oldest).is_some())
    }

    /// Keeps a value, in room that was given back just before.
    pub(super) fn keep(&mut self, digest: Digest, bytes: Bytes) {
        self.uses += 1;
        self.remove(&digest);
        self.bytes += bytes.len() as u64;
        self.kept.insert(digest, Kept { bytes, last_used: self.uses });
    }

    /// Bytes that are taken by what is here, and by what is on its way.
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
