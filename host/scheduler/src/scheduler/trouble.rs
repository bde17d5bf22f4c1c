//! Hosts that come, fall silent, drain and are lost, and runs that come back from them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Scheduler;
use super::state::Gone;
use crate::config::{HAND_BACK_PAUSE, HAND_BACK_PAUSE_MOST};
use crate::host::Host;
use crate::{Action, HandBackWhy, HostId, HostSpec, LeaseId, LostWhy, MAX_LOST_SHOWN, RunNo};

impl Scheduler {
    pub(super) fn host_up(
        &mut self,
        now: Instant,
        host: HostId,
        spec: HostSpec,
        actions: &mut Vec<Action>,
    ) {
        self.gone.retain(|gone| gone.id != host && gone.name != spec.name);
        let index = match self.hosts.index_of(host) {
            Some(index) => {
                self.hosts.change(index, |host| host.renew(now, spec));
                index
            }
            None if self.hosts.len() >= self.config.max_hosts => {
                actions.push(Action::HostRefused { host });
                return;
            }
            None => self.hosts.insert(Host::new(now, host, spec)),
        };
        self.classes.forget_host(index);
        self.fill(now, index, actions);
        self.review(now, actions);
    }

    /// A host takes runs again.
    pub(super) fn host_back(&mut self, now: Instant, host: HostId, actions: &mut Vec<Action>) {
        let Some(index) = self.hosts.index_of(host) else { return };
        self.hosts.change(index, |host| host.silent_since = None);
        self.fill(now, index, actions);
        self.review(now, actions);
    }

    pub(super) fn host_silent(&mut self, now: Instant, host: HostId, actions: &mut Vec<Action>) {
        let Some(index) = self.hosts.index_of(host) else { return };
        let runs = self.hosts.change(index, |host| {
            host.silent_since.get_or_insert(now);
            host.runs.values().copied().collect::<Vec<_>>()
        });
        // What it is to give back may be long in coming: others are asked instead.
        for number in runs.into_iter().flatten() {
            let at = self.runs.get_mut(&number).and_then(|run| run.at.as_mut());
            let wanted_by = at.and_then(|at| at.wanted_by.take());
            self.break_promise(wanted_by);
        }
        self.review(now, actions);
    }

    /// Nothing new, and what waits there for a slot is asked back where another host is one for it.
    pub(super) fn host_draining(&mut self, now: Instant, host: HostId, actions: &mut Vec<Action>) {
        let Some(index) = self.hosts.index_of(host) else { return };
        let Some(surplus) = self.hosts.change(index, |host| {
            host.draining = true;
            host.runs.values().skip(host.slots as usize).copied().collect::<Vec<_>>()
        }) else {
            return;
        };
        for number in surplus {
            let Some(run) = self.runs.get(&number) else { continue };
            let Some(class) = self.classes.get_mut(run.class) else { continue };
            let elsewhere = self.hosts.by_load().any(|(_, index)| {
                self.hosts.get(index).is_some_and(|other| class.fits(index, other))
            });
            if elsewhere {
                self.recall(number, None, actions);
            }
        }
        self.review(now, actions);
    }

    pub(super) fn host_down(
        &mut self,
        now: Instant,
        id: HostId,
        why: &Arc<str>,
        actions: &mut Vec<Action>,
    ) {
        let Some(index) = self.hosts.index_of(id) else { return };
        let Some(host) = self.hosts.remove(index) else { return };
        self.tally.hosts_lost += 1;
        if self.gone.len() >= MAX_LOST_SHOWN {
            self.gone.pop_front();
        }
        self.gone.push_back(Gone { id, name: host.name, at: now, why: Arc::clone(why) });
        let mut classes = Vec::new();
        // The latest first, since each comes before those that wait. What only waited there for a
        // slot had no part in the loss.
        let slots = host.slots as usize;
        for (place, number) in host.runs.into_values().enumerate().rev() {
            if let Some(class) = self.lost_host(now, id, number, place < slots, actions) {
                classes.push(class);
            }
        }
        self.place_classes(now, classes, actions);
        self.review(now, actions);
    }

    /// The host of a run is gone. Tells the run's class when it waits again.
    fn lost_host(
        &mut self,
        now: Instant,
        host: HostId,
        number: RunNo,
        had_slot: bool,
        actions: &mut Vec<Action>,
    ) -> Option<u32> {
        let run = self.runs.get_mut(&number)?;
        let at = run.at.take()?;
        self.started -= usize::from(at.started);
        run.hosts_lost += u32::from(had_slot || at.started);
        let (class, hosts_lost) = (run.class, run.hosts_lost);
        let withdrawn = run.withdrawn || (run.expired && !at.started);
        self.break_promise(at.wanted_by);
        // That it has started may not have been told.
        let effects = self.classes.get(class).is_some_and(|c| c.need.has_effects_outside());
        let why = if effects {
            Some(LostWhy::Effects)
        } else if hosts_lost >= self.config.max_hosts_lost {
            Some(LostWhy::TooMany)
        } else {
            None
        };
        if withdrawn || why.is_some() {
            let action = match why {
                Some(why) if !withdrawn => {
                    self.tally.lost += 1;
                    Action::Lost { run: number, host, hosts_lost, why }
                }
                _ => Action::Withdrawn { run: number },
            };
            actions.push(action);
            self.runs.remove(&number);
            self.classes.leave(class);
            return None;
        }
        self.tally.elsewhere += 1;
        actions.push(Action::Elsewhere { run: number, from: host, hosts_lost });
        let class = self.suspect(number).unwrap_or(class);
        self.wait(now, number, true);
        Some(class)
    }

    /// A run that waits with others of its need, and would be given up with one more host, waits apart
    /// from them from now on: at the next loss it has to be known which run it was. Its class then.
    fn suspect(&mut self, number: RunNo) -> Option<u32> {
        let run = self.runs.get_mut(&number)?;
        let class = self.classes.get(run.class)?;
        if class.suspect || run.hosts_lost == 0 || run.hosts_lost + 1 < self.config.max_hosts_lost {
            return None;
        }
        let need = Arc::clone(&class.need);
        let before = std::mem::replace(&mut run.class, self.classes.enter(&need, true));
        self.classes.leave(before);
        Some(run.class)
    }

    pub(super) fn handed_back(
        &mut self,
        now: Instant,
        host: HostId,
        number: RunNo,
        lease: LeaseId,
        why: HandBackWhy,
        actions: &mut Vec<Action>,
    ) {
        let Some((run, at)) = self.under(host, number, lease) else { return };
        let (class, withdrawn) = (run.class, run.withdrawn || run.expired);
        self.free_place(number, at, false);
        self.tally.handed_back += 1;
        if why == HandBackWhy::Refused {
            let until = self.hosts.change(at.host, |host| {
                // Many that are given back together are one refusal, not as many: each doubles the pause.
                if host.paused_until.is_some_and(|until| until > now) {
                    return None;
                }
                let pause = HAND_BACK_PAUSE
                    .saturating_mul(1 << host.refusals.min(16))
                    .min(HAND_BACK_PAUSE_MOST);
                host.refusals = host.refusals.saturating_add(1);
                let until = now + pause;
                host.paused_until = Some(until);
                Some(until)
            });
            if let Some(until) = until.flatten() {
                self.look_at(until);
            }
        }
        if withdrawn {
            self.runs.remove(&number);
            self.classes.leave(class);
            actions.push(Action::Withdrawn { run: number });
        } else {
            self.wait(now, number, true);
            self.place_classes(now, vec![class], actions);
        }
        self.fill(now, at.host, actions);
        if why == HandBackWhy::Refused {
            self.review(now, actions);
        }
    }

    /// Places what came back to wait, and tells of what nobody takes.
    fn place_classes(&mut self, now: Instant, mut classes: Vec<u32>, actions: &mut Vec<Action>) {
        classes.sort_unstable();
        classes.dedup();
        classes.sort_by_key(|class| self.classes.key(*class));
        for class in classes {
            self.place_class(now, class, actions);
            if self.classes.key(class).is_some() {
                self.begins_to_wait(now, class, actions);
            }
        }
    }

    /// Ends the pauses of hosts that are over. Tells when the next one is.
    pub(super) fn end_pauses(
        &mut self,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<Instant> {
        let paused: Vec<(u32, Instant)> = self
            .hosts
            .iter()
            .filter_map(|(index, host)| Some((index, host.paused_until?)))
            .collect();
        let mut next = None;
        for (index, until) in paused {
            if until > now {
                next = Some(next.map_or(until, |next: Instant| next.min(until)));
            } else {
                self.hosts.change(index, |host| host.paused_until = None);
                self.fill(now, index, actions);
            }
        }
        next
    }
}

/// How long ago that was.
pub(super) fn since(now: Instant, then: Instant) -> Duration {
    now.saturating_duration_since(then)
}
