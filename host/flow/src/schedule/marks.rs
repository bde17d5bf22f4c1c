//! A set of positions in a map: a bit for each, grown as far as it is used.

/// A set of positions.
#[derive(Debug, Default, Clone)]
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

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Adds all of the others.
    pub(crate) fn add(&mut self, others: &Self) {
        if self.0.len() < others.0.len() {
            self.0.resize(others.0.len(), 0);
        }
        self.0.iter_mut().zip(&others.0).for_each(|(bits, others)| *bits |= others);
    }

    /// The positions below `total` that are not in the set, and in `among` where one is given.
    pub(crate) fn missing(&self, total: u64, among: Option<&Self>) -> Self {
        let words = usize::try_from(total.div_ceil(64)).unwrap_or(usize::MAX);
        let word = |at: usize| {
            let rest = total - at as u64 * 64;
            let all = if rest >= 64 { u64::MAX } else { (1 << rest) - 1 };
            let among = among.map_or(u64::MAX, |among| among.0.get(at).copied().unwrap_or(0));
            all & among & !self.0.get(at).copied().unwrap_or(0)
        };
        Self((0..words).map(word).collect())
    }

    /// Takes all of the others out.
    pub(crate) fn remove(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(bits, others)| *bits &= !others);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_what_is_below_the_total_and_not_there() {
        let mut marks = Marks::default();
        marks.set(1);
        marks.set(64);
        let missing = marks.missing(130, None);
        assert_eq!((missing.len(), marks.len()), (128, 2));
        assert!(!missing.has(1) && !missing.has(64) && missing.has(129) && !missing.has(130));
        let mut among = Marks::default();
        [0, 1, 129, 500].into_iter().for_each(|index| among.set(index));
        assert_eq!(marks.missing(130, Some(&among)).iter().collect::<Vec<_>>(), [0, 129]);
        assert!(marks.missing(0, None).is_empty());
        marks.add(&missing);
        assert_eq!(marks.len(), 130);
    }
}
