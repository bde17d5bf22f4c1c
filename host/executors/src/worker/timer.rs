//! What the passing of time brings at a worker.

use std::time::Instant;

use sandmill_wire::RunId;
use uuid::Uuid;

use super::config::STARTED_AFTER;
use super::state::State;

impl State {
    /// Does what is due; when something will be.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Instant> {
        // What looks at a moment from here on is to be seen below.
        self.timer_at = None;
        let started = self.tell_started(now);
        while let Some(&(at, serial, run)) = self.deadlines.first() {
            if at > now {
                break;
            }
            self.deadlines.pop_first();
            self.pass_deadline(serial, run);
        }
        let forget: Vec<Uuid> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.forget_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        forget.into_iter().for_each(|id| self.close(id, None));
        let partials = self.partials.sweep(now);
        self.ask(now);
        // The moments above are asked for again, since asking and closing look at others too.
        let asked = self.timer_at.take().filter(|at| *at > now);
        let deadline = self.deadlines.first().map(|(at, ..)| *at);
        let forget = self.sessions.values().filter_map(|session| session.forget_at).min();
        [started, deadline, forget, partials, asked].into_iter().flatten().min()
    }

    /// Tells of runs that are under way for a while; when there will be another.
    fn tell_started(&self, now: Instant) -> Option<Instant> {
        let mut next = None::<Instant>;
        for slot in self.slots.iter().flatten() {
            let due = slot.since + STARTED_AFTER;
            if due <= now {
                slot.attending.tell_started();
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    fn pass_deadline(&mut self, serial: u64, run: RunId) {
        let Some(id) = self.holders.get(&run).copied() else { return };
        if self.held(id, run).is_some_and(|held| held.serial == serial) {
            self.end_late(id, run);
        }
    }
}
