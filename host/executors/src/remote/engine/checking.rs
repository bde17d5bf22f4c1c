//! What nobody is known to have: looked for in the engine, now and then, and made good where it is
//! gone.

use std::time::{Duration, Instant};

use sandmill_transport::engine::{ClassId, Engine, EngineError, ItemState};
use sandmill_wire::RunId;
use uuid::Uuid;

use super::carrier::Carrier;
use super::config::{CHECK_EVERY, CHECKS};
use super::lost::Lost;
use super::runs::Place;

/// Runs that are told why they wait, at a time.
const TOLD: usize = 1_024;

/// What was found of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It waits in its queue, or a worker has it.
    There,
    /// It is gone, and no answer of it waits to be heard.
    Gone,
    /// It is there, but will not be given to anybody.
    Spent,
    /// That cannot be said now.
    Unclear,
    /// Its class has no queue.
    NoQueue,
}

/// Looks for an item.
pub(super) async fn look(engine: &Engine, session: Uuid, class: &ClassId, sequence: u64) -> Found {
    let looked = async {
        if engine.item_state(sequence).await? == ItemState::Gone {
            // Where there is nobody who takes answers for the moment, it is made anew.
            let heard = matches!(engine.has_answers(session).await, Ok(false));
            return Ok(if heard { Found::Gone } else { Found::Unclear });
        }
        let state = engine.class_state(class).await?;
        Ok(if state.waiting == 0 && state.taken == 0 { Found::Spent } else { Found::There })
    };
    match looked.await {
        Ok(found) => found,
        Err(EngineError::Missing(_)) => Found::NoQueue,
        Err(_) => Found::Unclear,
    }
}

impl Carrier {
    /// Runs in the item that nobody is known to have, for a while.
    fn unclaimed(&self, number: u64) -> Vec<RunId> {
        let Some(item) = self.runs.items.get(&number) else { return Vec::new() };
        let patience = self.config.unclaimed();
        let unclaimed = |run: &&RunId| {
            self.runs.get(run).is_some_and(|entry| match entry.place {
                Place::Out { unheld_since, .. } => unheld_since.elapsed() >= patience,
                _ => false,
            })
        };
        item.runs.iter().filter(unclaimed).copied().collect()
    }

    /// Items to look for now: their numbers, classes, and where they are in the queue.
    pub(super) fn next_looks(&mut self) -> Vec<(u64, ClassId, u64)> {
        let due: Vec<u64> = self
            .runs
            .items
            .iter()
            .filter(|(_, item)| {
                item.sequence.is_some()
                    && !item.looking
                    && (item.looked.elapsed() >= CHECK_EVERY || item.incarnation < self.incarnation)
            })
            .map(|(number, _)| *number)
            .collect();
        let mut looks = Vec::new();
        for number in due {
            let unclaimed = self.unclaimed(number);
            if unclaimed.is_empty() {
                continue;
            }
            let Some(item) = self.runs.items.get_mut(&number) else { continue };
            if item.incarnation < self.incarnation {
                // It was in stores that are gone; whoever took it before has told by now.
                unclaimed.iter().for_each(|run| self.lose(run, &Lost::Engine));
                continue;
            }
            if looks.len() < CHECKS
                && let Some(sequence) = item.sequence
            {
                item.looking = true;
                item.looked = Instant::now();
                looks.push((number, item.class.clone(), sequence));
            }
        }
        looks
    }

    /// Takes up what was found of an item.
    pub(super) fn found(&mut self, number: u64, found: Found) {
        let Some(item) = self.runs.items.get_mut(&number) else { return };
        item.looking = false;
        match found {
            Found::There => item.missed = 0,
            Found::Unclear | Found::NoQueue => {}
            // Seen twice: what was on its way at the first look has come by the second.
            Found::Gone | Found::Spent if item.missed == 0 => item.missed = 1,
            Found::Gone => {
                item.missed = 0;
                for run in self.unclaimed(number) {
                    self.lose(&run, &Lost::Item);
                }
            }
            Found::Spent => {
                item.missed = 0;
                self.spent(number);
            }
        }
    }

    /// The engine's stores are others than before: nothing of what was put there is.
    pub(super) fn stores_are_new(&mut self) {
        self.incarnation += 1;
        self.runs.forget_sequences();
        let now = Instant::now();
        let out: Vec<RunId> = self.runs.iter().map(|(run, _)| *run).collect();
        for run in out {
            // Whoever has it has time to say so.
            if let Some(entry) = self.runs.get_mut(&run)
                && let Place::Out { unheld_since, .. } = &mut entry.place
            {
                *unheld_since = now;
            }
        }
    }

    /// The engine is there again: nobody could be heard meanwhile.
    pub(super) fn engine_is_back(&mut self) {
        self.hosts.forgive();
        let now = Instant::now();
        let out: Vec<RunId> = self.runs.iter().map(|(run, _)| *run).collect();
        for run in out {
            if let Some(entry) = self.runs.get_mut(&run)
                && let Place::Out { unheld_since, .. } = &mut entry.place
            {
                *unheld_since = now;
            }
        }
    }

    /// Tells runs that wait for long why they do.
    pub(super) fn tell_why(&mut self, trouble: Option<&str>) {
        let notice = self.config.pending_notice_after;
        let waits = |entry: &super::runs::Entry| {
            !entry.wait_told
                && !matches!(entry.place, Place::Held(_))
                && entry.waits_since.elapsed() >= notice.min(Duration::from_secs(86_400))
        };
        let waiting: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, entry)| waits(entry))
            .take(TOLD)
            .map(|(run, _)| *run)
            .collect();
        for run in waiting {
            let Some(entry) = self.runs.get(&run) else { continue };
            let words = match (trouble, self.classes.get(&entry.class)) {
                (Some(trouble), _) => trouble.to_owned(),
                (None, Some(class)) => self.hosts.why_waits(class),
                (None, None) => continue,
            };
            if let Some(entry) = self.runs.get_mut(&run) {
                entry.ticket.waits(words);
                entry.wait_told = true;
            }
        }
    }

    /// Hosts whose leases have run out.
    pub(super) fn lose_silent(&mut self) {
        for worker in self.hosts.overdue(self.config.lease) {
            self.lose_host(&worker);
        }
    }
}
