//! Whose turn it is to be pulled from: the classes that a worker can make, one after the other, and
//! which of them have items. Plain state.

use std::collections::{HashSet, VecDeque};

use sandmill_transport::engine::ClassId;

/// The classes of a worker, in turn.
#[derive(Default)]
pub(super) struct Turns {
    order: VecDeque<ClassId>,
    /// Those that have items, where that was looked at: nothing is asked of the others.
    busy: Option<HashSet<ClassId>>,
    /// How many went by since one was taken.
    passed: usize,
}

impl Turns {
    pub(super) fn add(&mut self, id: ClassId) {
        self.order.push_back(id);
    }

    pub(super) fn remove(&mut self, id: &ClassId) {
        self.order.retain(|turn| turn != id);
    }

    /// How many classes there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Those that have items, or that it is not known.
    pub(super) fn found(&mut self, busy: Option<HashSet<ClassId>>) {
        self.busy = busy;
    }

    /// Each is to have its turn again.
    pub(super) fn begin(&mut self) {
        self.passed = 0;
    }

    /// Whose turn it is; nobody's once all went by since [`Turns::begin`].
    pub(super) fn next(&mut self) -> Option<ClassId> {
        while self.passed < self.order.len() {
            let id = self.order.pop_front()?;
            self.passed += 1;
            let is_asked = self.busy.as_ref().is_none_or(|busy| busy.contains(&id));
            let next = is_asked.then(|| id.clone());
            self.order.push_back(id);
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sandmill_core::{Grants, Limits};
    use sandmill_transport::engine::Class;

    use super::*;

    fn ids(count: u32) -> Vec<ClassId> {
        let resources = |n: u32| BTreeMap::from([("r".to_owned(), f64::from(n + 1))]);
        let class = |n| {
            let labels = std::collections::BTreeSet::new();
            Class::new(&labels, &resources(n), &Grants::default(), &Limits::default(), false)
        };
        (0..count).map(|n| class(n).id()).collect()
    }

    #[test]
    fn all_have_their_turn() {
        let (ids, mut turns) = (ids(3), Turns::default());
        ids.iter().cloned().for_each(|id| turns.add(id));
        turns.begin();
        assert_eq!(turns.next().as_ref(), Some(&ids[0]));
        // Where one round ended the next begins.
        turns.begin();
        let round: Vec<_> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(round, [ids[1].clone(), ids[2].clone(), ids[0].clone()]);
        assert_eq!(turns.next(), None);
        turns.remove(&ids[1]);
        turns.begin();
        assert_eq!(std::iter::from_fn(|| turns.next()).count(), 2);
    }

    #[test]
    fn what_has_items_does_not_wait_for_what_has_none() {
        let (ids, mut turns) = (ids(1_000), Turns::default());
        ids.iter().cloned().for_each(|id| turns.add(id));
        turns.found(Some(HashSet::from([ids[700].clone(), ids[20].clone()])));
        assert_eq!(turns.len(), 1_000);
        turns.begin();
        let round: Vec<_> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(round, [ids[20].clone(), ids[700].clone()]);
        // Where nothing is known, all are asked.
        turns.found(None);
        turns.begin();
        assert_eq!(std::iter::from_fn(|| turns.next()).count(), 1_000);
    }
}
