//! A set of positions in a map: a bit for each, grown as far as it is used.

/// A set of positions.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<u64>);

impl Marks {
    pub(crate) fn set(&mut self, index: u64) {
        let (word, bit) = place(index);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    pub(crate) fn has(&self, index: u64) -> bool {
        let (word, bit) = place(index);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Every position in the set, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.0.len() as u64 * 64).filter(|index| self.has(*index))
    }
}

fn place(index: u64) -> (usize, u64) {
    // Positions count elements that are in memory, so they fit.
    (usize::try_from(index / 64).unwrap_or(usize::MAX), 1 << (index % 64))
}
