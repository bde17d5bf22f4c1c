//! What a worker may take in hand: so many items, and so much of each resource. Plain state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandmill_transport::engine::Class;
use tokio::sync::Notify;

use super::super::config::WorkerConfig;

/// What a worker has in hand, and may.
pub(super) struct Hands {
    most: usize,
    has: BTreeMap<String, f64>,
    taken: Mutex<Taken>,
    /// Rung when something was put down.
    pub(super) freed: Notify,
}

#[derive(Default)]
struct Taken {
    items: usize,
    resources: BTreeMap<String, f64>,
    /// Until when others are to have what there is.
    rests_until: Option<Instant>,
}

/// Room for one item. It is given back when this goes.
pub(super) struct Hold {
    hands: Arc<Hands>,
    resources: BTreeMap<String, f64>,
}

impl Hands {
    pub(super) fn new(config: &WorkerConfig, prefetch: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            most: config.slots.saturating_add(prefetch.unwrap_or(config.slots)),
            has: config.resources.clone(),
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Sets room aside for an item with one run that takes these resources, if there is any; with so
    /// many items `beyond` what it may have in hand.
    pub(super) fn hold(
        self: &Arc<Self>,
        resources: &BTreeMap<String, f64>,
        beyond: usize,
    ) -> Option<Hold> {
        let mut taken = self.taken.lock();
        if taken.items >= self.most.saturating_add(beyond) {
            return None;
        }
        let fits = resources.iter().all(|(name, amount)| {
            let used = taken.resources.get(name).copied().unwrap_or(0.0);
            // A sum of fractions may be a little above what it stands for.
            used + amount <= self.has.get(name).copied().unwrap_or(0.0) + 1e-9
        });
        if !fits {
            return None;
        }
        taken.items += 1;
        for (name, amount) in resources {
            *taken.resources.entry(name.clone()).or_default() += amount;
        }
        Some(Hold { hands: Arc::clone(self), resources: resources.clone() })
    }

    /// Others are to have what there is, for so long.
    pub(super) fn rest(&self, pause: Duration) {
        self.taken.lock().rests_until = Some(Instant::now() + pause);
    }

    /// Whether others are to have what there is.
    pub(super) fn rests(&self) -> bool {
        self.taken.lock().rests_until.is_some_and(|until| until > Instant::now())
    }

    /// For how many items there is room in all.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// For how many items room is set aside.
    pub(super) fn taken(&self) -> usize {
        self.taken.lock().items
    }

    /// How many more items there is room for.
    pub(super) fn free(&self) -> usize {
        self.most.saturating_sub(self.taken.lock().items)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut taken = self.hands.taken.lock();
        taken.items -= 1;
        for (name, amount) in &self.resources {
            if let Some(used) = taken.resources.get_mut(name) {
                *used = (*used - amount).max(0.0);
            }
        }
        drop(taken);
        self.hands.freed.notify_one();
    }
}

/// Whether a worker that is so can ever make runs of a class.
pub(super) fn satisfies(config: &WorkerConfig, class: &Class) -> bool {
    lacks(&config.labels, &config.resources, &config.ceiling, class).is_none()
}

/// What a worker that is so lacks for runs of a class, in words.
pub(crate) fn lacks(
    labels: &BTreeSet<String>,
    resources: &BTreeMap<String, f64>,
    ceiling: &sandmill_core::Ceiling,
    class: &Class,
) -> Option<String> {
    if let Some(label) = class.labels.difference(labels).next() {
        return Some(format!("lacks the label {label}"));
    }
    let short = class
        .resources
        .iter()
        .find(|(name, amount)| resources.get(*name).copied().unwrap_or(0.0) < **amount);
    if let Some((name, amount)) = short {
        let has = resources.get(name).copied().unwrap_or(0.0);
        return Some(format!("has {has} of {name}, {amount} asked for"));
    }
    ceiling.refuses(&class.grants, &class.limits).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back() {
        let mut config = WorkerConfig::new("a", 1);
        config.resources.insert("gpu".to_owned(), 1.0);
        let hands = Hands::new(&config, Some(2));
        let gpu = BTreeMap::from([("gpu".to_owned(), 0.6)]);
        let first = hands.hold(&gpu, 0);
        assert!(first.is_some());
        assert!(hands.hold(&gpu, 0).is_none());
        let others = (hands.hold(&BTreeMap::new(), 0), hands.hold(&BTreeMap::new(), 0));
        assert!(others.0.is_some() && others.1.is_some());
        assert!(hands.hold(&BTreeMap::new(), 0).is_none());
        assert_eq!((hands.free(), hands.taken()), (0, 3));
        let beyond = hands.hold(&BTreeMap::new(), 1);
        assert!(beyond.is_some() && hands.hold(&BTreeMap::new(), 1).is_none());
        assert!(hands.hold(&gpu, 9).is_none(), "there is no more of a resource for that");
        drop(beyond);
        assert_eq!((hands.free(), hands.taken()), (0, 3));
        drop(first);
        assert_eq!(hands.free(), 1);
        assert!(hands.hold(&gpu, 0).is_some());
    }
}
