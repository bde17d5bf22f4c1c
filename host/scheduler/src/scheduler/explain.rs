//! Why a run waits, host by host.

use std::time::Instant;

use super::Scheduler;
use super::trouble::since;
use crate::class::Class;
use crate::host::Host;
use crate::{HostVerdict, Reason, RunNo};

impl Scheduler {
    /// How each host stands to a run, the lost ones of late at the end; of a run that is at a host
    /// only that one. None when there is no such run.
    #[must_use]
    pub fn explain(&self, now: Instant, run: RunNo) -> Option<Vec<HostVerdict>> {
        let run = self.runs.get(&run)?;
        if let Some(at) = run.at {
            let host = self.hosts.get(at.host)?;
            let mut reasons = vec![Reason::HasIt { started: at.started, recalled: at.recalled }];
            if !at.started && host.getting.contains(&self.classes.get(run.class)?.need.component) {
                reasons.push(Reason::GettingComponent);
            }
            if let Some(then) = host.silent_since {
                reasons.push(Reason::Silent(since(now, then)));
            }
            return Some(vec![HostVerdict { host: host.id, name: host.name.clone(), reasons }]);
        }
        let class = self.classes.get(run.class)?;
        let there = self.hosts.iter().map(|(index, host)| self.verdict(now, class, index, host));
        let gone = self.gone.iter().map(|gone| HostVerdict {
            host: gone.id,
            name: gone.name.clone(),
            reasons: vec![Reason::Lost { ago: since(now, gone.at), why: gone.why.clone() }],
        });
        Some(there.chain(gone).collect())
    }

    /// How a host stands to the runs of a class.
    pub(super) fn verdict(
        &self,
        now: Instant,
        class: &Class,
        index: u32,
        host: &Host,
    ) -> HostVerdict {
        let need = &class.need;
        let mut reasons = Vec::new();
        if host.slots == 0 {
            reasons.push(Reason::NoSlots);
        }
        let missing = need.labels.difference(&host.labels);
        reasons.extend(missing.cloned().map(Reason::LacksLabel));
        for (name, asked) in need.resources.iter() {
            let has = host.total.get(name);
            let free = has.minus(host.used.get(name));
            let name = name.to_owned();
            if asked > has {
                reasons.push(Reason::LacksResource { name, asked, has });
            } else if asked > free {
                reasons.push(Reason::ResourceBusy { name, asked, has, free });
            }
        }
        let refused = host.ceiling.refuses(&need.grants, &need.limits);
        reasons.extend(refused.into_iter().map(Reason::NotAllowed));
        if host.draining {
            reasons.push(Reason::Draining);
        }
        if let Some(then) = host.silent_since {
            reasons.push(Reason::Silent(since(now, then)));
        }
        if let Some(until) = host.paused_until {
            reasons.push(Reason::Paused(since(until, now)));
        }
        let before = class.key().unwrap_or(u64::MAX);
        if host.slots > 0 && u64::from(host.assigned()) >= class.capacity(host) {
            reasons.push(Reason::Busy { runs: host.assigned(), slots: host.slots });
        } else if host.slots > 0 && self.classes.keep_room(index, host, before) {
            reasons.push(Reason::KeepsSlot);
        }
        if class.is_barred(host) {
            reasons.push(Reason::Suspect);
        }
        if host.getting.contains(&need.component) {
            reasons.push(Reason::GettingComponent);
        }
        HostVerdict { host: host.id, name: host.name.clone(), reasons }
    }
}
