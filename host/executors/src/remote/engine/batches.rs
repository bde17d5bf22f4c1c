//! Which runs go into the engine, and which of them share an item: few while little is known of how
//! long they take, many where they are short. Plain choices.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::Component;
use sandmill_transport::engine::{Class, ClassId, ITEM_BYTES, ITEM_RUNS, Item};
use sandmill_transport::message::{MAX_INLINE, Order, Payload, Spec};
use sandmill_wire::{Digest, RunId};

use super::super::direct::outbox::size_of_spec;
use super::carrier::Carrier;
use super::config::{BATCH_HORIZON, BATCH_WAIT, MOST_A_SLOT, PUBLISHES, WINDOW_LEAST};
use super::courier::Parcel;
use super::runs::{ItemEntry, Place};

/// Runs that the fleet has at most, whatever they wait for.
const WINDOW_MOST: usize = 100_000;
/// Items of short runs that keep slots busy while the next is made.
const ITEMS_OUT: usize = 8;
/// Bytes of an order beside its arguments.
const ORDER_BYTES: usize = 256;

/// How many runs of a class each slot is to have in the engine.
pub(super) fn a_slot(mean: Option<Duration>, prefetch: usize) -> usize {
    let least = prefetch.saturating_add(1);
    let (Some(mean), true) = (mean, prefetch > 0) else { return least };
    let runs = BATCH_HORIZON.as_micros() / mean.as_micros().max(1);
    usize::try_from(runs).unwrap_or(MOST_A_SLOT).min(MOST_A_SLOT).max(least)
}

/// How many runs may share an item, where so many wait for so many slots that are to have `a_slot`
/// each.
pub(super) fn together(waiting: usize, slots: usize, a_slot: usize) -> usize {
    // A slot is to have some items, so that what one worker does not get to, another may.
    (a_slot / 4).min(waiting.div_ceil(slots.max(1))).clamp(1, ITEM_RUNS)
}

/// How few runs wait for others to share an item with, where so many wait and so many are in the engine:
/// the answers to one item are the next calls, so items would become as small as the smallest of them.
pub(super) fn too_few(waiting: usize, out: usize, slots: usize, a_slot: usize) -> bool {
    out >= 2 * slots && waiting < (a_slot / 4).min((waiting + out) / ITEMS_OUT).min(ITEM_RUNS)
}

/// What must not be made twice, or holds more than a slot, is handled by itself.
fn goes_alone(class: &Class) -> bool {
    class.has_effects || !class.resources.is_empty()
}

impl Carrier {
    /// How many runs the fleet wants to have.
    pub(super) fn window(&self) -> usize {
        let wanted = match self.config.prefetch_per_slot {
            // One more, which is told why it waits.
            0 => self.hosts.slots() + 1,
            _ => self.hosts.slots() * self.a_slot() * 2 + WINDOW_LEAST,
        };
        // Those that nobody here can make must not keep others out.
        let stuck: usize = self
            .runs
            .waiting
            .iter()
            .filter(|(class, _)| !self.is_possible(class))
            .map(|(_, runs)| runs.len())
            .sum();
        (wanted + stuck).min(WINDOW_MOST)
    }

    fn a_slot(&self) -> usize {
        a_slot(self.mean, self.config.prefetch_per_slot)
    }

    fn is_possible(&self, class: &ClassId) -> bool {
        self.classes.get(class).is_some_and(|class| self.hosts.can_make(class))
    }

    /// The next parcels, while so many are on their way.
    pub(super) fn fill(&mut self, mut on_the_way: usize) -> Vec<(u64, Parcel)> {
        let mut parcels: Vec<(u64, Parcel)> = Vec::new();
        self.held_until = None;
        if on_the_way < PUBLISHES
            && let Some(class) = self.next_suspect()
        {
            parcels.extend(self.next_parcel(&class, 1));
            on_the_way += parcels.len();
        }
        if self.runs.waiting.values().all(VecDeque::is_empty) {
            self.held.clear();
            return parcels;
        }
        let slots = self.hosts.slots().max(1);
        let most = slots * self.a_slot();
        let mut out: HashMap<ClassId, usize> = HashMap::new();
        for item in self.runs.items.values() {
            *out.entry(item.class.clone()).or_default() += item.runs.len();
        }
        let classes: Vec<ClassId> = self.runs.waiting.keys().cloned().collect();
        let a_slot = self.a_slot();
        for class in classes {
            let out = out.get(&class).copied().unwrap_or(0);
            let mut room = most.saturating_sub(out);
            if room == 0 || on_the_way >= PUBLISHES {
                continue;
            }
            let waiting = self.runs.waiting.get(&class).map_or(0, VecDeque::len);
            let goes_alone = self.classes.get(&class).is_some_and(|class| goes_alone(class));
            if !goes_alone && too_few(waiting, out, slots, a_slot) && !self.is_held_enough(&class) {
                continue;
            }
            self.held.remove(&class);
            // Where slots have enough to do, not each of them need have some of these.
            let among = if out >= 2 * slots { slots.min(ITEMS_OUT) } else { slots };
            // All of them alike: the rest is not to go in ever smaller ones.
            let each = if goes_alone { 1 } else { together(waiting, among, a_slot) };
            while room > 0 && on_the_way < PUBLISHES {
                let Some(parcel) = self.next_parcel(&class, each.min(room)) else { break };
                room = room.saturating_sub(parcel.1.item.orders.len());
                on_the_way += 1;
                parcels.push(parcel);
            }
        }
        self.runs.waiting.retain(|_, runs| !runs.is_empty());
        self.held.retain(|class, _| self.runs.waiting.contains_key(class));
        parcels
    }

    /// Whether few runs of a class have waited for more for as long as they may.
    fn is_held_enough(&mut self, class: &ClassId) -> bool {
        let now = Instant::now();
        let until = *self.held.entry(class.clone()).or_insert(now) + BATCH_WAIT;
        if until <= now {
            return true;
        }
        self.held_until = Some(self.held_until.map_or(until, |first| first.min(until)));
        false
    }

    fn next_parcel(&mut self, class: &ClassId, most: usize) -> Option<(u64, Parcel)> {
        let about = Arc::clone(self.classes.get(class)?);
        let (mut specs, mut orders) = (Vec::<Spec>::new(), Vec::new());
        let mut stages: HashMap<u64, u32> = HashMap::new();
        let mut components: Vec<Component> = Vec::new();
        let (mut values, mut runs) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while orders.len() < most {
            let Some(run) = self.runs.waiting.get_mut(class)?.pop_front() else { break };
            let Some(entry) = self.runs.get(&run) else { continue };
            let call = entry.ticket.call();
            let arguments = call.arguments.clone().into_bytes();
            let known = stages.get(&entry.stage.number).copied();
            let id = known.unwrap_or_else(|| u32::try_from(stages.len()).unwrap_or(0));
            let spec = known.is_none().then(|| entry.stage.spec(id));
            let spec_bytes = spec.as_ref().map_or(0, size_of_spec);
            // Beside a large spec, arguments of that size would not fit.
            let payload = if arguments.len() + spec_bytes <= MAX_INLINE + MAX_INLINE / 2 {
                Payload::of(&arguments)
            } else {
                let size = arguments.len() as u64;
                Payload::Blob { digest: Digest::of(&arguments), size }
            };
            let inline = match &payload {
                Payload::Inline(inline) => inline.len(),
                Payload::Blob { .. } => 0,
            };
            let more = ORDER_BYTES + spec_bytes + inline;
            if !orders.is_empty() && bytes + more > ITEM_BYTES {
                self.runs.waiting.get_mut(class)?.push_front(run);
                break;
            }
            bytes += more;
            if let Payload::Blob { digest, .. } = &payload {
                values.push((*digest, arguments));
            }
            if let Some(spec) = spec {
                stages.insert(entry.stage.number, id);
                specs.push(spec);
                components.push(entry.stage.component.clone());
            }
            let order = Order {
                run,
                lease: self.lease(),
                spec: id,
                attempt: 0,
                arguments: payload,
                index: None,
                time_left: None,
            };
            let entry = self.runs.get(&run)?;
            let call = entry.ticket.call();
            let deadline = call.options.deadline;
            orders.push(Order {
                attempt: entry.ticket.attempt(),
                index: call.map_index,
                time_left: deadline.map(|at| at.saturating_duration_since(Instant::now())),
                ..order
            });
            runs.push(run);
        }
        if orders.is_empty() {
            return None;
        }
        components.sort_by_key(Component::digest);
        components.dedup_by_key(|component| component.digest());
        for (digest, bytes) in &values {
            self.values.entry(*digest).or_insert_with(|| (bytes.clone(), 0)).1 += 1;
        }
        let number = self.add_item(class, &runs, values.iter().map(|(digest, _)| *digest));
        for order in &orders {
            if let Some(entry) = self.runs.get_mut(&order.run) {
                entry.lease = order.lease;
                entry.item = Some(number);
                entry.place = Place::Out { item: number, unheld_since: Instant::now() };
                entry.started = false;
                entry.fetching = false;
            }
        }
        let parcel = Parcel {
            id: format!("{}-{number}", self.session.simple()),
            class: about,
            components,
            values,
            item: Item { session: self.session, specs, orders },
        };
        Some((number, parcel))
    }

    fn add_item(
        &mut self,
        class: &ClassId,
        runs: &[RunId],
        values: impl Iterator<Item = Digest>,
    ) -> u64 {
        let item = ItemEntry {
            class: class.clone(),
            sequence: None,
            runs: runs.iter().copied().collect::<HashSet<_>>(),
            values: values.collect(),
            looked: Instant::now(),
            missed: 0,
            looking: false,
            incarnation: self.incarnation,
        };
        self.runs.add_item(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_short_runs_wait_for_others_where_many_are_out() {
        assert!(too_few(3, 1_021, 2, MOST_A_SLOT));
        assert!(!too_few(128, 896, 2, MOST_A_SLOT));
        assert!(!too_few(1, 1_000, 2, 2), "long runs");
        assert!(!too_few(1, 14, 2, MOST_A_SLOT), "few are out");
        assert!(!too_few(3, 63, 64, MOST_A_SLOT), "there are free slots");
        assert!(!too_few(20_000, 0, 2, MOST_A_SLOT));
    }

    #[test]
    fn long_runs_go_alone_and_short_ones_together() {
        let slot = |micros| a_slot(Some(Duration::from_micros(micros)), 1);
        let (unknown, long, short) = (a_slot(None, 1), slot(5_000_000), slot(20));
        assert_eq!((unknown, long, short), (2, 2, MOST_A_SLOT));
        assert_eq!(a_slot(Some(Duration::ZERO), 1), MOST_A_SLOT);
        assert_eq!(together(20_000, 4, unknown), 1);
        assert_eq!(together(20_000, 4, long), 1);
        assert_eq!(together(20_000, 4, short), ITEM_RUNS);
        // Few that wait are spread over all slots.
        assert_eq!(together(4, 4, short), 1);
        assert_eq!(together(0, 0, short), 1);
        // What is to wait for a free slot does so whatever it takes.
        assert_eq!(a_slot(Some(Duration::ZERO), 0), 1);
    }
}
