//! Idle hosts take what waits at busy ones.

use smallvec::SmallVec;

use super::Scheduler;
use crate::host::FULL_SLOTS;
use crate::{Action, RunNo};

/// Busy hosts, idle hosts, and runs of a busy host that are looked at after one event.
const LOOKED_AT: usize = 32;

impl Scheduler {
    /// Where a host has free slots that nothing waits for, asks others for runs that wait there:
    /// for up to half of them at a time, the last ones first.
    pub(super) fn steal(&mut self, actions: &mut Vec<Action>) {
        let mut wanted = self.hosts.free_slots().saturating_sub(self.hosts.recalled());
        if wanted == 0 || self.hosts.usable() < 2 {
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
        for index in busy {
            let Some(host) = self.hosts.get(index) else { continue };
            let share = (host.excess().div_ceil(2) as usize).min(wanted);
            if share == 0 {
                continue;
            }
            let last: SmallVec<[RunNo; LOOKED_AT]> = host
                .runs
                .values()
                .skip(host.slots as usize)
                .rev()
                .take(LOOKED_AT)
                .copied()
                .collect();
            let mut got = 0;
            for number in last {
                if got == share {
                    break;
                }
                if self.is_for_any(number, &idle) && self.recall(number, actions) {
                    got += 1;
                }
            }
            wanted -= got;
            if wanted == 0 {
                return;
            }
        }
    }

    /// Whether one of these hosts is one for the run, and has a slot for it.
    fn is_for_any(&mut self, number: RunNo, hosts: &[u32]) -> bool {
        let Some(run) = self.runs.get(&number) else { return false };
        let class = run.class;
        hosts.iter().any(|index| {
            let host = self.hosts.get(*index);
            host.is_some_and(|host| self.classes.accepted(class, *index, host, 0))
        })
    }

    /// Asks for a run back that has not started, once.
    pub(super) fn recall(&mut self, number: RunNo, actions: &mut Vec<Action>) -> bool {
        let Some(run) = self.runs.get_mut(&number).filter(|run| !run.withdrawn) else {
            return false;
        };
        let Some(at) = run.at.as_mut().filter(|at| !at.started && !at.recalled) else {
            return false;
        };
        at.recalled = true;
        let at = *at;
        let Some(host) = self.hosts.change(at.host, |host| {
            host.recalled += 1;
            host.id
        }) else {
            return false;
        };
        self.tally.recalled += 1;
        actions.push(Action::Recall { run: number, host, lease: at.lease });
        true
    }
}
