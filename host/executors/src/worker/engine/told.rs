//! Which specs a link to the worker was told of, and by which numbers it knows them. Plain state.

use std::collections::HashMap;

use sandmill_wire::Digest;

use super::super::config::MAX_SPECS_BYTES;

/// Specs that one link is told of before they are told anew. A worker takes 10,000.
const LINK_SPECS: usize = 4_096;
/// Bytes of them. A worker takes twice as many: those that are told anew take the place of the ones
/// before only one by one.
const LINK_SPEC_BYTES: usize = MAX_SPECS_BYTES / 2;

/// The specs that one link was told of.
#[derive(Default)]
pub(super) struct Told {
    numbers: HashMap<Digest, u32>,
    bytes: usize,
}

/// By what a link knows a spec.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// It was told of it.
    Known(u32),
    /// It is to be told of it.
    New(u32),
    /// The same, and it is the first of a new round: numbers from here on stand for other specs than
    /// before, so what names those has to be said first.
    Anew(u32),
}

impl Told {
    /// The number of a spec that has this digest and takes so many bytes.
    pub(super) fn number(&mut self, digest: Digest, bytes: usize) -> Number {
        if let Some(number) = self.numbers.get(&digest) {
            return Number::Known(*number);
        }
        let is_full =
            self.numbers.len() >= LINK_SPECS || self.bytes.saturating_add(bytes) > LINK_SPEC_BYTES;
        if is_full {
            self.forget();
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(0);
        self.numbers.insert(digest, number);
        self.bytes = self.bytes.saturating_add(bytes);
        if is_full { Number::Anew(number) } else { Number::New(number) }
    }

    /// Begins with a link that was told nothing.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: usize) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    #[test]
    fn numbers_are_told_once_and_bounded_in_count() {
        let mut told = Told::default();
        for n in 0..LINK_SPECS {
            let number = u32::try_from(n).unwrap();
            assert_eq!(told.number(digest(n), 1), Number::New(number));
            assert_eq!(told.number(digest(n), 1), Number::Known(number));
        }
        assert_eq!(told.number(digest(LINK_SPECS), 1), Number::Anew(0));
        assert_eq!(told.number(digest(0), 1), Number::New(1));
    }

    #[test]
    fn numbers_are_bounded_in_bytes() {
        let (mut told, large) = (Told::default(), LINK_SPEC_BYTES / 4);
        for n in 0..4 {
            assert!(matches!(told.number(digest(n), large), Number::New(_)));
        }
        assert_eq!(told.number(digest(4), 1), Number::Anew(0));
        assert_eq!(told.number(digest(5), large), Number::New(1));
        told.forget();
        assert_eq!(told.number(digest(4), 1), Number::New(0));
    }
}
