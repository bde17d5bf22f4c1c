//! Telling that runs wait which nobody takes: at once where it is not a matter of hosts being busy,
//! else after a while.

use std::time::{Duration, Instant};

use super::Scheduler;
use crate::class::Told;
use crate::verdict::gist;
use crate::{Action, HostVerdict, MAX_PENDING_REASONS, Standing};

impl Scheduler {
    /// Something is due then.
    pub(super) fn look_at(&mut self, due: Instant) {
        self.check_at = Some(self.check_at.map_or(due, |at| at.min(due)));
    }

    /// Something is due after that long. What is beyond the clock's end is never due.
    pub(super) fn look_after(&mut self, now: Instant, time: Duration) {
        if let Some(due) = now.checked_add(time) {
            self.look_at(due);
        }
    }

    /// Runs of a class wait that did not before, or not these.
    pub(super) fn begins_to_wait(&mut self, now: Instant, class: u32, actions: &mut Vec<Action>) {
        let standing = self.standing(class);
        if matches!(standing, Standing::Busy | Standing::Free) {
            self.look_after(now, self.config.pending_notice_after);
        } else {
            self.tell(now, class, standing, actions);
        }
    }

    /// Hosts have changed: what nobody takes any more is told, and what is busy only is to be told
    /// after a while.
    pub(super) fn review(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let classes: Vec<u32> = self.classes.waiting().collect();
        for class in classes {
            self.begins_to_wait(now, class, actions);
        }
    }

    /// What is due by now: pauses of hosts that are over, and classes of which none was placed for
    /// long.
    pub(super) fn check(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let before = self.hosts.usable();
        self.check_at = None;
        if let Some(next) = self.end_pauses(now, actions) {
            self.look_at(next);
        }
        if self.hosts.usable() != before {
            self.review(now, actions);
        }
        let classes: Vec<u32> = self.classes.waiting().collect();
        for class in classes {
            let Some(waits) = self.classes.get(class) else { continue };
            let (told, moved_at) = (waits.told, waits.moved_at.unwrap_or(now));
            if told == Told::Busy {
                continue;
            }
            let standing = self.standing(class);
            if standing != Standing::Busy {
                continue;
            }
            let Some(due) = moved_at.checked_add(self.config.pending_notice_after) else {
                continue;
            };
            if due > now {
                self.look_at(due);
            } else {
                self.tell(now, class, standing, actions);
            }
        }
    }

    /// Tells of the first run of a class that waits, unless the same was told before.
    fn tell(&mut self, now: Instant, class: u32, standing: Standing, actions: &mut Vec<Action>) {
        let Some(run) = self.classes.first(class, &self.runs) else { return };
        let Some(waits) = self.classes.get(class) else { return };
        let reasons: Vec<HostVerdict> = self
            .hosts
            .iter()
            .take(MAX_PENDING_REASONS)
            .map(|(index, host)| self.verdict(now, waits, index, host))
            .collect();
        let told = match standing {
            Standing::Busy => Told::Busy,
            _ => Told::Blocked(gist(&reasons)),
        };
        let alike = waits.waiting;
        let Some(waits) = self.classes.get_mut(class) else { return };
        if std::mem::replace(&mut waits.told, told) != told {
            actions.push(Action::Pending { run, alike, standing, reasons: reasons.into() });
        }
    }

    /// How the hosts stand to the runs of a class: as the best of them does.
    fn standing(&mut self, class: u32) -> Standing {
        let Some(class) = self.classes.get_mut(class) else { return Standing::NoHosts };
        let mut best = if self.hosts.len() == 0 { Standing::NoHosts } else { Standing::Never };
        // Those that take runs first: mostly the first one tells.
        for (_, index) in self.hosts.by_load() {
            if self.hosts.get(index).is_some_and(|host| class.fits(index, host)) {
                return Standing::Busy;
            }
        }
        for (index, host) in self.hosts.iter() {
            if class.fits(index, host) {
                best = Standing::NotNow;
                break;
            }
        }
        best
    }
}
