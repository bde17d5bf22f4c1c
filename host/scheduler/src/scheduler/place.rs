//! Which host a run goes to, and which runs a host with room gets.

use std::sync::Arc;
use std::time::Instant;

use sandmill_wire::Digest;

use super::Scheduler;
use crate::class::{Has, Told};
use crate::host::{FULL_SLOTS, Host};
use crate::run::At;
use crate::{Action, LeaseId, RunNo};

/// Hosts that are compared once one is found that takes the run; each further one is more loaded
/// than those before it.
const COMPARED: usize = 64;

impl Scheduler {
    /// The best host for a run of a class among those that take it now. A free slot goes first:
    /// while there are any, runs are spread over them. Then whether the component is there or on
    /// its way, then how many bytes of the large inputs are, then the load.
    ///
    /// The hosts are gone through by their load, so where most have the component and there are no
    /// large inputs, the first one is the best.
    pub(super) fn best(&mut self, class: u32, inputs: Option<&[(Digest, u64)]>) -> Option<u32> {
        let mut end = load_of(self.classes.get(class)?.ahead());
        let inputs = inputs.unwrap_or_default();
        let mut best: Option<((Has, u64), u32)> = None;
        let mut compared = 0;
        for (load, index) in self.hosts.by_load() {
            // Those that follow are as full at least.
            if load >= end || compared >= COMPARED {
                break;
            }
            let Some(host) = self.hosts.get(index) else { continue };
            if !self.classes.accepted(class, index, host) {
                continue;
            }
            if load < FULL_SLOTS {
                end = FULL_SLOTS;
            }
            compared += 1;
            let held = held_bytes(host, inputs);
            let score = (self.classes.get_mut(class)?.has(index, host), u64::MAX - held);
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, index));
            }
            if score.0 == Has::Held && inputs.is_empty() {
                break;
            }
        }
        best.map(|(_, index)| index)
    }

    /// Gives a run, which is nowhere, to a host.
    pub(super) fn put(
        &mut self,
        now: Instant,
        number: RunNo,
        (class, input_bytes): (u32, u64),
        index: u32,
        actions: &mut Vec<Action>,
    ) -> At {
        let lease = LeaseId(self.next_lease);
        self.next_lease = self.next_lease.saturating_add(1);
        let (mut exclusive, mut suspect) = (None, false);
        let mut sent = None;
        let mut told = Told::Nothing;
        if let Some(class) = self.classes.get_mut(class) {
            class.moved_at = Some(now);
            told = std::mem::replace(&mut class.told, Told::Nothing);
            exclusive = class.exclusive.then(|| Arc::clone(&class.need));
            suspect = class.suspect;
            if let Some(host) = self.hosts.get(index)
                && class.has(index, host) == Has::Not
            {
                sent = Some(class.need.component);
            }
        }
        if told != Told::Nothing {
            // Should the others of the class be stuck again, that is news.
            self.look_after(now, self.config.pending_notice_after);
        }
        let host = self.hosts.change(index, |host| {
            host.runs.insert(lease, number);
            host.suspects += u32::from(suspect);
            host.input_bytes = host.input_bytes.saturating_add(input_bytes);
            if let Some(need) = exclusive {
                host.used.add(&need.resources);
            }
            host.getting.extend(sent);
            host.id
        });
        if let Some(component) = sent {
            self.classes.forget_has(index, &component);
        }
        self.tally.assigned += 1;
        if let Some(host) = host {
            actions.push(Action::Assign { run: number, host, lease });
        }
        At { host: index, lease, started: false, recalled: false, wanted_by: None }
    }

    /// A run, which is nowhere, waits; before the others of its class where it comes back.
    pub(super) fn wait(&mut self, now: Instant, number: RunNo, before: bool) {
        let Some(run) = self.runs.get(&number) else { return };
        self.waiting += 1;
        self.waiting_bytes = self.waiting_bytes.saturating_add(run.input_bytes);
        if let Some(class) = self.classes.get_mut(run.class)
            && class.waiting == 0
        {
            class.moved_at = Some(now);
        }
        self.classes.push(run.class, number, run.stamp, before);
    }

    /// Gives the first run that waits in a class to a host.
    fn put_first(&mut self, now: Instant, class: u32, index: u32, actions: &mut Vec<Action>) {
        let Some(number) = self.classes.pop(class, &self.runs) else { return };
        self.waiting -= 1;
        let Some(run) = self.runs.get(&number) else { return };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(run.input_bytes);
        let at = self.put(now, number, (class, run.input_bytes), index, actions);
        if let Some(run) = self.runs.get_mut(&number) {
            run.at = Some(at);
        }
    }

    /// Places runs that wait in a class, for as long as there are hosts for them.
    pub(super) fn place_class(&mut self, now: Instant, class: u32, actions: &mut Vec<Action>) {
        while let Some(first) = self.classes.first(class, &self.runs) {
            let inputs = self.runs.get(&first).and_then(|run| run.inputs.clone());
            let Some(host) = self.best(class, inputs.as_deref()) else { return };
            self.put_first(now, class, host, actions);
        }
    }

    /// Gives a host with room what waits for it, the oldest first, whatever its class.
    pub(super) fn fill(&mut self, now: Instant, index: u32, actions: &mut Vec<Action>) {
        let mut from = (0, 0);
        while let Some((key, number)) = self.classes.next_from(from) {
            let Some(host) = self.hosts.get(index).filter(|host| {
                host.usable() && u64::from(host.assigned()) < host.capacity(self.classes.ahead())
            }) else {
                return;
            };
            let Some(class) = self.classes.get_mut(number) else { return };
            if class.accepted(index, host) {
                self.put_first(now, number, index, actions);
                // Runs that came back may stand before one that is older than they are.
                from = self.classes.key(number).map_or((key, number), |new| (new.min(key), number));
            } else if class.waits_for_room(index, host) {
                // What is younger does not go before it.
                return;
            } else {
                // What the host does not take now, it does not take when it has more.
                from = (key, number + 1);
            }
        }
    }
}

impl Scheduler {
    /// Fills hosts that were kept from getting more for an older run, where nothing keeps them any
    /// more.
    pub(super) fn open_up(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let most = load_of(self.classes.ahead());
        let hosts: Vec<u32> = self
            .hosts
            .by_load()
            .take_while(|(load, _)| *load < most)
            .map(|(_, index)| index)
            .collect();
        for index in hosts {
            self.fill(now, index, actions);
        }
    }
}

/// The load of a host that has so many runs for each slot beyond the one in it.
fn load_of(ahead: u32) -> u64 {
    FULL_SLOTS.saturating_mul(1 + u64::from(ahead))
}

/// How many bytes of these inputs the host holds.
fn held_bytes(host: &Host, inputs: &[(Digest, u64)]) -> u64 {
    inputs
        .iter()
        .filter(|(digest, _)| host.holds.contains(digest))
        .fold(0, |sum, (_, size)| sum.saturating_add(*size))
}
