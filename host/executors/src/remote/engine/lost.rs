//! Runs whose host or whose item is gone: made again under a new lease, where that is safe.

use std::time::Duration;

use sandmill_core::Report;
use sandmill_scheduler::MAX_HOSTS_LOST;
use sandmill_transport::message::WorkerId;
use sandmill_wire::{End, EndKind, RunId};

use super::carrier::{Carrier, Errand};
use super::runs::Place;

/// What was lost.
pub(super) enum Lost {
    /// The host that had it, by this name.
    Host(String),
    /// Its item, without anybody known to have had it: taken by a host that was lost at once.
    Item,
    /// All that was in the engine.
    Engine,
    /// Nobody is given its item any more.
    Deliveries,
}

impl Lost {
    fn words(&self) -> String {
        match self {
            Self::Host(name) => format!("the host {name} was lost"),
            Self::Item => "the host that took it from the engine was lost".to_owned(),
            Self::Engine => "the engine lost it".to_owned(),
            Self::Deliveries => {
                "the engine gave it to workers as often as it may, and none said what became of it"
                    .to_owned()
            }
        }
    }
}

impl Carrier {
    /// A worker was lost, with all that it has.
    pub(super) fn lose_host(&mut self, worker: &WorkerId) {
        let Some(host) = self.hosts.remove(worker) else { return };
        for run in &host.runs {
            self.lose(run, &Lost::Host(host.name.clone()));
        }
    }

    /// The run is lost where it was.
    pub(super) fn lose(&mut self, run: &RunId, lost: &Lost) {
        let Some(entry) = self.runs.get_mut(run) else { return };
        if entry.place == Place::Waiting {
            return;
        }
        if entry.stopping.is_some() {
            return self.end_stopped(run);
        }
        if !matches!(lost, Lost::Engine) {
            entry.hosts_lost += 1;
        }
        let (words, hosts_lost) = (lost.words(), entry.hosts_lost);
        let why = if entry.stage.has_effects {
            Some(format!(
                "{words}; the run may have changed something outside: it is not made again unasked"
            ))
        } else if matches!(lost, Lost::Deliveries) {
            Some(words.clone())
        } else if hosts_lost >= MAX_HOSTS_LOST {
            Some(format!("{words}, and {hosts_lost} hosts were lost with it in all"))
        } else {
            None
        };
        if let Some(why) = why {
            if let Some(entry) = self.remove(run) {
                entry.ticket.finish(Report::unstarted(End::new(EndKind::HostLost, why)));
            }
            return;
        }
        let words = match lost {
            Lost::Engine => format!("{words}; it is ordered anew"),
            _ => format!("{words}; the run goes elsewhere ({hosts_lost} lost so far)"),
        };
        entry.ticket.remark(words.clone());
        entry.ticket.waits(words);
        self.requeue(run, Duration::ZERO);
    }

    /// Has a run wait to be put into the engine again, after so long, under a new lease then.
    pub(super) fn requeue(&mut self, run: &RunId, pause: Duration) {
        let item = self.runs.get(run).and_then(|entry| entry.item);
        let sequence = item.and_then(|item| self.runs.items.get(&item)?.sequence);
        self.leave(run);
        if let Some(item) = item
            && !self.runs.items.contains_key(&item)
            && let Some(sequence) = sequence
        {
            // Whatever becomes of it there, nobody waits for it.
            self.errands.push(Errand::RemoveItem(sequence));
        }
        self.runs.wait_again(run, pause);
    }

    /// An item will not be given out again.
    pub(super) fn spent(&mut self, number: u64) {
        let Some(item) = self.runs.items.get(&number) else { return };
        let sequence = item.sequence;
        let runs: Vec<RunId> = item.runs.iter().copied().collect();
        for run in runs {
            // One that a worker has still ends by its word, or by its loss.
            let unheld = |place: Place| matches!(place, Place::Out { .. });
            if self.runs.get(&run).is_some_and(|entry| unheld(entry.place)) {
                self.lose(&run, &Lost::Deliveries);
            }
        }
        self.errands.extend(sequence.map(Errand::RemoveItem));
    }
}
