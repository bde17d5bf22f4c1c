//! The beginnings of values whose transfers broke off, so that the next try goes on from there. Plain
//! state; what is done with them is in `receiving`.

use std::time::Instant;

use bytes::BytesMut;
use sandmill_wire::Digest;

use super::config::{MAX_PARTIALS, PARTIAL_BYTES, PARTIAL_PATIENCE};

/// The beginning of a value.
struct Partial {
    /// Whoever sent it, by the link's word: what one sends is never mixed with what another does.
    peer: String,
    digest: Digest,
    /// How many bytes the whole has.
    size: u64,
    bytes: BytesMut,
    until: Instant,
}

/// The beginnings that a worker keeps, the oldest first.
#[derive(Default)]
pub(super) struct Partials(Vec<Partial>);

impl Partials {
    /// Keeps what came of a value. Others go for it, the oldest first.
    pub(super) fn keep(
        &mut self,
        peer: String,
        (digest, size): (Digest, u64),
        bytes: BytesMut,
        now: Instant,
    ) {
        if bytes.is_empty() || bytes.len() as u64 > PARTIAL_BYTES {
            return;
        }
        // One that came meanwhile is not better.
        let _ = self.take(&peer, digest, size);
        self.0.push(Partial { peer, digest, size, bytes, until: now + PARTIAL_PATIENCE });
        while self.bytes() > PARTIAL_BYTES || self.0.len() > MAX_PARTIALS {
            self.0.remove(0);
        }
    }

    /// Takes out what came of a value from the same side before.
    pub(super) fn take(&mut self, peer: &str, digest: Digest, size: u64) -> Option<BytesMut> {
        let is_it = |partial: &Partial| {
            partial.digest == digest && partial.size == size && partial.peer == peer
        };
        let place = self.0.iter().position(is_it)?;
        Some(self.0.remove(place).bytes)
    }

    /// Forgets those that nobody has gone on with for too long; when there will be more.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        self.0.retain(|partial| partial.until > now);
        self.0.first().map(|oldest| oldest.until)
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|partial| partial.bytes.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn bytes(count: u64) -> BytesMut {
        BytesMut::zeroed(usize::try_from(count).unwrap())
    }

    #[test]
    fn a_beginning_is_its_senders_and_is_taken_once() {
        let (mut partials, now) = (Partials::default(), Instant::now());
        let digest = Digest::of(b"a");
        partials.keep("one".to_owned(), (digest, 10), bytes(5), now);
        assert!(partials.take("other", digest, 10).is_none());
        assert!(partials.take("one", digest, 11).is_none());
        assert!(partials.take("one", Digest::of(b"b"), 10).is_none());
        assert_eq!(partials.take("one", digest, 10).map(|bytes| bytes.len()), Some(5));
        assert!(partials.take("one", digest, 10).is_none());
        partials.keep("one".to_owned(), (digest, 10), bytes(5), now);
        partials.keep("one".to_owned(), (digest, 10), bytes(7), now);
        assert_eq!(partials.bytes(), 7, "the later one counts");
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_number_and_time() {
        let (mut partials, now) = (Partials::default(), Instant::now());
        let digest = |n: usize| Digest::of(&n.to_be_bytes());
        let mut keep = |n: usize, count: u64, at| {
            partials.keep("one".to_owned(), (digest(n), u64::MAX), bytes(count), at);
            (partials.bytes(), partials.0.len())
        };
        assert_eq!(keep(0, PARTIAL_BYTES + 1, now), (0, 0));
        assert_eq!(keep(1, 0, now), (0, 0));
        assert_eq!(keep(2, PARTIAL_BYTES - 1, now), (PARTIAL_BYTES - 1, 1));
        assert_eq!(keep(3, 2, now), (2, 1), "the oldest went");
        for n in 0..2 * MAX_PARTIALS {
            let (kept, count) = keep(10 + n, 1, now + Duration::from_secs(1));
            assert!(kept <= PARTIAL_BYTES && count <= MAX_PARTIALS);
        }
        let due = partials.sweep(now + PARTIAL_PATIENCE).unwrap();
        assert_eq!(due, now + Duration::from_secs(1) + PARTIAL_PATIENCE);
        assert_eq!(partials.sweep(due), None);
        assert_eq!(partials.bytes(), 0);
    }
}
