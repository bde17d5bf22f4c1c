//! Idle workers take what waits at busy ones: nobody else is given what a worker has pulled, so it is
//! asked back and put into the engine again.

use std::collections::HashMap;
use std::time::Instant;

use sandmill_transport::message::{LeaseId, WorkerId};
use sandmill_wire::RunId;

use super::carrier::Carrier;
use super::config::SHARE_AFTER;
use super::runs::Place;
use crate::worker::engine::lacks;

/// Runs that one worker is asked for at a time.
const ASKED: usize = 64;

impl Carrier {
    /// Where workers have had free slots for a while, asks busy ones for runs that have waited there
    /// for as long, at most half of them at a time: the last ones first.
    pub(super) fn share(&mut self, now: Instant) {
        let mut idle = Vec::new();
        for (worker, host) in self.hosts.iter_mut() {
            if host.open_slots() == 0 {
                host.idle_since = None;
            } else if now.duration_since(*host.idle_since.get_or_insert(now)) >= SHARE_AFTER {
                idle.push(*worker);
            }
        }
        if idle.is_empty() {
            return;
        }
        let mut waiting: Vec<(WorkerId, Vec<(LeaseId, RunId)>)> =
            self.waiting_at_busy(now).into_iter().collect();
        // Where most wait, first.
        waiting.sort_by_key(|(_, runs)| std::cmp::Reverse(runs.len()));
        for (_, runs) in &mut waiting {
            runs.sort_unstable();
            let keep = runs.len() / 2;
            runs.drain(..keep);
        }
        for taker in idle {
            let mut room = ASKED;
            for (holder, runs) in &mut waiting {
                if *holder != taker {
                    runs.retain(|(_, run)| room == 0 || !self.ask_back(run, &taker, &mut room));
                }
            }
            if room < ASKED
                && let Some(host) = self.hosts.get_mut(&taker)
            {
                // Until it has got them, or has not.
                host.idle_since = None;
            }
        }
    }

    /// Runs that have waited for a while at workers whose slots are all taken.
    fn waiting_at_busy(&self, now: Instant) -> HashMap<WorkerId, Vec<(LeaseId, RunId)>> {
        let mut waiting: HashMap<WorkerId, Vec<(LeaseId, RunId)>> = HashMap::new();
        for (run, entry) in self.runs.iter() {
            let Place::Held(worker) = entry.place else { continue };
            let is_asked = entry.recalled || entry.stopping.is_some();
            if !entry.started
                && !is_asked
                && now.saturating_duration_since(entry.held_since) >= SHARE_AFTER
                && self.hosts.get(&worker).is_some_and(super::hosts::Host::is_busy)
            {
                waiting.entry(worker).or_default().push((entry.lease, *run));
            }
        }
        waiting
    }

    /// Asks for a run back, where the taker could make it; whether it was asked for.
    fn ask_back(&mut self, run: &RunId, taker: &WorkerId, room: &mut usize) -> bool {
        let Some(entry) = self.runs.get(run) else { return false };
        let (Place::Held(holder), of) = (entry.place, entry.of()) else { return false };
        let class = self.classes.get(&entry.class);
        let welcome = self.hosts.get(taker).and_then(|host| host.welcome.as_ref());
        let can = class.zip(welcome).is_some_and(|(class, it)| {
            lacks(&it.labels, &it.resources, &it.ceiling, class).is_none()
        });
        let Some(host) = self.hosts.get_mut(&holder).filter(|_| can) else { return false };
        host.recalled.push(of);
        *room -= 1;
        if let Some(entry) = self.runs.get_mut(run) {
            entry.recalled = true;
        }
        true
    }
}
