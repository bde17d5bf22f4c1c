//! All hosts: by number, and those that take runs in the order of their load.

use std::collections::BTreeSet;

use crate::HostId;
use crate::host::Host;
use crate::keys::NumberMap;

/// All hosts. A host keeps its index for as long as it is there.
#[derive(Default)]
pub(crate) struct Hosts {
    table: Vec<Option<Host>>,
    free: Vec<u32>,
    by_id: NumberMap<HostId, u32>,
    /// Those that take runs, by load and index.
    by_load: BTreeSet<(u64, u32)>,
    prefetch_per_slot: u32,
    /// Over those that take runs.
    slots: usize,
    free_slots: usize,
    free_places: usize,
    open_slots: usize,
}

impl Hosts {
    pub(crate) fn new(prefetch_per_slot: u32) -> Self {
        Self { prefetch_per_slot, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn index_of(&self, id: HostId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Host> {
        self.table.get(index as usize)?.as_ref()
    }

    /// All hosts with their indexes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Host)> {
        (0..).zip(&self.table).filter_map(|(index, host)| Some((index, host.as_ref()?)))
    }

    pub(crate) fn insert(&mut self, host: Host) -> u32 {
        let id = host.id;
        let index = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            // There are fewer than `MAX_HOSTS`.
            u32::try_from(self.table.len() - 1).unwrap_or(u32::MAX)
        });
        self.count(&host, index, true);
        self.table[index as usize] = Some(host);
        self.by_id.insert(id, index);
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Host> {
        let host = self.table.get_mut(index as usize)?.take()?;
        self.count(&host, index, false);
        self.by_id.remove(&host.id);
        self.free.push(index);
        Some(host)
    }

    /// Changes a host, and its place in the order with it.
    pub(crate) fn change<R>(
        &mut self,
        index: u32,
        change: impl FnOnce(&mut Host) -> R,
    ) -> Option<R> {
        // Taken out for the time: the sums change with it.
        let mut host = self.table.get_mut(index as usize)?.take()?;
        self.count(&host, index, false);
        let result = change(&mut host);
        self.count(&host, index, true);
        self.table[index as usize] = Some(host);
        Some(result)
    }

    /// Changes nothing that the order or the sums depend on.
    pub(crate) fn note<R>(&mut self, index: u32, note: impl FnOnce(&mut Host) -> R) -> Option<R> {
        self.table.get_mut(index as usize)?.as_mut().map(note)
    }

    fn count(&mut self, host: &Host, index: u32, add: bool) {
        if !host.usable() {
            return;
        }
        let key = (host.load(), index);
        let changed = if add { self.by_load.insert(key) } else { self.by_load.remove(&key) };
        debug_assert!(changed, "the order has each host once");
        let places = host.capacity(self.prefetch_per_slot).saturating_sub(host.assigned().into());
        let sums = [
            (&mut self.slots, host.slots as usize),
            (&mut self.free_slots, host.free_slots() as usize),
            (&mut self.free_places, usize::try_from(places).unwrap_or(usize::MAX)),
            (&mut self.open_slots, host.open_slots() as usize),
        ];
        for (sum, part) in sums {
            *sum = if add { sum.saturating_add(part) } else { sum.saturating_sub(part) };
        }
    }

    /// Those that take runs, by load: the least loaded first.
    pub(crate) fn by_load(&self) -> impl DoubleEndedIterator<Item = (u64, u32)> + '_ {
        self.by_load.iter().copied()
    }

    /// How many take runs.
    pub(crate) fn usable(&self) -> usize {
        self.by_load.len()
    }

    /// Slots of those that take runs.
    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    /// Slots without a run, of those that take runs.
    pub(crate) const fn free_slots(&self) -> usize {
        self.free_slots
    }

    /// Places without a run, with those beyond the slots.
    pub(crate) const fn free_places(&self) -> usize {
        self.free_places
    }

    /// Of the slots without a run, those that none is asked back for.
    pub(crate) const fn open_slots(&self) -> usize {
        self.open_slots
    }
}
