//! Idle hosts take what waits at busy ones.

use smallvec::SmallVec;

use super::Scheduler;
use crate::host::FULL_SLOTS;
use crate::{Action, HostId, RunNo};

/// Busy hosts, idle hosts, and runs of a busy host that are looked at after one event.
const LOOKED_AT: usize = 32;

impl Scheduler {
    /// Where a host has free slots that nothing waits for, asks others for runs that wait there:
    /// for up to half of them at a time, the last ones first.
    pub(super) fn steal(&mut self, actions: &mut Vec<Action>) {
        if self.hosts.open_slots() == 0 {
            return;
        }
        let most = self.hosts.by_load().next_back();
        if most.is_none_or(|(load, _)| load <= FULL_SLOTS) {
            return;
        }
        let idle: SmallVec<[u32; LOOKED_AT]> = self
            .hosts
            .by_load()
            .take_while(|(load, _)| *load < FULL_SLOTS)
            .take(LOOKED_AT)
            .map(|(_, index)| index)
            .collect();
        let busy: SmallVec<[u32; LOOKED_AT]> = self
            .hosts
            .by_load()
            .rev()
            .take_while(|(load, _)| *load > FULL_SLOTS)
            .take(LOOKED_AT)
            .map(|(_, index)| index)
            .collect();
        // What no idle host took once, none takes in this pass: they only fill up.
        let mut untaken: SmallVec<[u32; LOOKED_AT]> = SmallVec::new();
        for index in busy {
            let Some(host) = self.hosts.get(index) else { continue };
            let mut share = host.excess().div_ceil(2);
            let last: SmallVec<[RunNo; LOOKED_AT]> = host
                .runs
                .values()
                .skip(host.slots as usize)
                .rev()
                .take(LOOKED_AT)
                .copied()
                .collect();
            for number in last {
                if share == 0 {
                    break;
                }
                let Some(class) = self.runs.get(&number).map(|run| run.class) else { continue };
                if untaken.contains(&class) {
                    continue;
                }
                match self.taker(class, &idle) {
                    Some(taker) => {
                        share -= u32::from(self.recall(number, Some(taker), actions));
                    }
                    None => untaken.push(class),
                }
            }
            if self.hosts.open_slots() == 0 {
                return;
            }
        }
    }

    /// One of these hosts that takes such a run into a slot that no other is on its way to.
    fn taker(&mut self, class: u32, hosts: &[u32]) -> Option<HostId> {
        hosts.iter().find_map(|index| {
            let host = self.hosts.get(*index)?;
            let takes = host.open_slots() > 0 && self.classes.accepted_in_slot(class, *index, host);
            takes.then_some(host.id)
        })
    }

    /// Asks for a run back that has not started, once; for this host if it is for one.
    pub(super) fn recall(
        &mut self,
        number: RunNo,
        wanted_by: Option<HostId>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(run) = self.runs.get_mut(&number).filter(|run| !run.withdrawn) else {
            return false;
        };
        let Some(at) = run.at.as_mut().filter(|at| !at.started && !at.recalled) else {
            return false;
        };
        (at.recalled, at.wanted_by) = (true, wanted_by);
        let at = *at;
        let Some(host) = self.hosts.note(at.host, |host| {
            host.recalled += 1;
            host.id
        }) else {
            return false;
        };
        if let Some(taker) = wanted_by.and_then(|taker| self.hosts.index_of(taker)) {
            self.hosts.change(taker, |host| host.promised += 1);
        }
        self.tally.recalled += 1;
        actions.push(Action::Recall { run: number, host, lease: at.lease });
        true
    }

    /// A run that was asked for back for this host is not on its way there any more.
    pub(super) fn break_promise(&mut self, wanted_by: Option<HostId>) {
        if let Some(taker) = wanted_by.and_then(|taker| self.hosts.index_of(taker)) {
            self.hosts.change(taker, |host| host.promised = host.promised.saturating_sub(1));
        }
    }
}
