//! Connections that have not said hello yet: how many there may be, and who goes when there are
//! more.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Those who have connected and not said hello, oldest first.
#[derive(Debug)]
pub(super) struct Strangers {
    most: usize,
    waiting: Mutex<(u64, VecDeque<(u64, CancellationToken)>)>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    of: Arc<Strangers>,
    number: u64,
    /// Cancelled when it has to go, because there are too many.
    pub(super) gone: CancellationToken,
}

impl Strangers {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), waiting: Mutex::default() })
    }

    /// Another one. If there are too many, the oldest goes.
    pub(super) fn enter(self: &Arc<Self>) -> Stranger {
        let gone = CancellationToken::new();
        let mut waiting = self.waiting.lock();
        let (next, list) = &mut *waiting;
        while list.len() >= self.most {
            if let Some((_, oldest)) = list.pop_front() {
                oldest.cancel();
            }
        }
        *next += 1;
        list.push_back((*next, gone.clone()));
        Stranger { of: Arc::clone(self), number: *next, gone }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.waiting.lock().1.len()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let list = &mut self.of.waiting.lock().1;
        if let Ok(place) = list.binary_search_by_key(&self.number, |(number, _)| *number) {
            list.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let strangers = Strangers::new(3);
        let first = strangers.enter();
        let second = strangers.enter();
        let third = strangers.enter();
        drop(second);
        let fourth = strangers.enter();
        assert!(!first.gone.is_cancelled());
        let fifth = strangers.enter();
        assert!(first.gone.is_cancelled());
        drop(first);
        assert!(![&third, &fourth, &fifth].iter().any(|one| one.gone.is_cancelled()));
        assert_eq!(strangers.count(), 3);
        drop((third, fourth, fifth));
        assert_eq!(strangers.count(), 0);
    }
}
