//! The numbers by which the scheduler names runs, hosts and leases, and how they are hashed. What
//! they mean to people (names, UUIDs) stays with whoever gives them out.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// A run, by a number that the caller gives it. A number may be used again once the run has left
/// the scheduler: after [`Action::Take`](crate::Action::Take),
/// [`Action::Lost`](crate::Action::Lost), [`Action::Withdrawn`](crate::Action::Withdrawn) or
/// [`Action::Refused`](crate::Action::Refused).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunNo(pub u64);

/// A host, by a number that the caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u64);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One placement of a run at one host. Leases only rise, over all runs; the first one is in the
/// configuration. On the wire it is the number of the transport's type of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// Hashes the numbers above. They come from this process and not from outside, so nobody can
/// choose them to collide, and a multiplication spreads them well enough.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

/// Half the golden ratio in 64 bits: what Fibonacci hashing multiplies by.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(SPREAD);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        // The tables take their index from the low bits, and the product is best in its high ones.
        self.0.rotate_left(26)
    }
}

/// A map from numbers.
pub(crate) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;
#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_spread() {
        let build = BuildHasherDefault::<NumberHasher>::default();
        let low: HashSet<u64> = (0..1_000_u64).map(|n| build.hash_one(RunNo(n)) & 0xfff).collect();
        assert!(low.len() > 600, "only {} of 4096 places are used", low.len());
    }
}
