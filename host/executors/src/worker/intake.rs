//! What becomes of what a coordinator asks: orders, cancels, recalls, settlements. Everything is
//! answered, and asking twice is the same as asking once.
//!
//! | asked | the run is not here, or under another lease | waits | under way | has ended |
//! |---|---|---|---|---|
//! | order, same lease | – | nothing | nothing | the report again |
//! | order, older lease | not taken | | | |
//! | order, newer lease, same attempt | – | goes on under it | goes on under it | the report under it |
//! | order, newer lease, else | – | made in its place | stopped, made in its place | made in its place |
//! | cancel | given back | ends as cancelled | asked to stop | the report again |
//! | recall | given back | given back | told that it started | the report again |
//! | settled | nothing | nothing | nothing | forgotten |

use std::sync::Arc;
use std::time::Instant;

use sandmill_core::Usage;
use sandmill_transport::message::{HandBack, LeaseId, RunLease};
use sandmill_wire::{End, EndKind, RunId};
use uuid::Uuid;

use super::components::Wanted;
use super::ending::wrap;
use super::session::{Held, Phase, Waiting};
use super::spec::Checked;
use super::state::{Stage, State};

impl State {
    /// Takes an order, or says why not.
    pub(super) fn admit(&mut self, id: Uuid, order: Checked) {
        let run = order.of.run;
        let is_answered = match self.holders.get(&run).copied() {
            Some(holder) if holder == id => self.admit_again(id, &order),
            Some(holder) => self.take_over(holder, id, &order),
            None => false,
        };
        if is_answered {
            return;
        }
        if let Some(why) = self.no_room(id, &order) {
            self.hand_back(id, order.of, Some(why));
            return;
        }
        self.admit_new(id, order);
    }

    /// An order for a run that the session has here. Whether that is all.
    fn admit_again(&mut self, id: Uuid, order: &Checked) -> bool {
        let run = order.of.run;
        let Some(held) = self.held(id, run) else { return false };
        match order.of.lease.cmp(&held.lease) {
            std::cmp::Ordering::Less => {
                self.counters.stale += 1;
                true
            }
            std::cmp::Ordering::Equal => {
                self.say_again(id, run);
                true
            }
            std::cmp::Ordering::Greater if held.answers(order) => {
                self.adopt(id, run, order.of.lease, order.deadline);
                true
            }
            std::cmp::Ordering::Greater => {
                self.forget(id, run);
                false
            }
        }
    }

    /// An order for a run that another session has here: of a coordinator that came back as a new
    /// one, most likely. Whether that is all.
    fn take_over(&mut self, holder: Uuid, id: Uuid, order: &Checked) -> bool {
        let run = order.of.run;
        let Some(held) = self.held(holder, run) else { return false };
        let (old, answers) = (held.lease, held.answers(order));
        if order.of.lease <= old {
            self.counters.stale += 1;
            let why = "the run is held for another coordinator under a newer lease";
            self.hand_back(id, order.of, Some(why.to_owned()));
            return true;
        }
        if answers {
            // What it holds must be held all the while, or it could go.
            if let Phase::Ended(kept) = &held.phase {
                if let Some(blob) = kept.blob {
                    self.results.keep_too(&blob);
                }
            } else {
                self.components.want_too(&order.spec.component, id);
            }
            if let Some(held) = self.detach(holder, run) {
                self.attach(id, run, held);
                self.adopt(id, run, order.of.lease, order.deadline);
            }
        } else {
            self.forget(holder, run);
        }
        let why = "another coordinator took the run over under a newer lease";
        self.hand_back(holder, RunLease { run, lease: old }, Some(why.to_owned()));
        self.forget_if_empty(holder);
        answers
    }

    /// From now on the run goes under this lease.
    fn adopt(&mut self, id: Uuid, run: RunId, lease: LeaseId, deadline: Option<Instant>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(held) = session.runs.get_mut(&run) else { return };
        held.lease = lease;
        self.counters.answered_again += 1;
        match &mut held.phase {
            Phase::Waiting(waiting) => {
                let serial = held.serial;
                if let Some(old) = std::mem::replace(&mut waiting.deadline, deadline) {
                    self.deadlines.remove(&(old, serial, run));
                }
                if let Some(deadline) = deadline {
                    self.deadlines.insert((deadline, serial, run));
                    self.look_at(deadline);
                }
            }
            Phase::Running(attending) => {
                attending.turn_to(lease, &session.outbox);
                attending.tell_started();
            }
            Phase::Ended(_) => self.say_again(id, run),
        }
    }

    /// Has the report of a run that ended said once more, unless that is still to be said.
    fn say_again(&self, id: Uuid, run: RunId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(held) = session.runs.get(&run) else { return };
        if !session.outbox.will_say(held.of(run))
            && let Some(report) = held.report(run)
        {
            session.outbox.ended(report, None);
        }
    }

    /// Why there is no room for a new run of the session.
    fn no_room(&self, id: Uuid, order: &Checked) -> Option<String> {
        let session = self.sessions.get(&id)?;
        let config = &self.config;
        if self.stage != Stage::Open {
            return Some("the worker is going away".to_owned());
        }
        if session.waiting >= config.waiting() {
            return Some(format!("{} runs wait at the worker already", session.waiting));
        }
        let bytes = session.waiting_bytes.saturating_add(order.bytes());
        if session.waiting > 0 && bytes > config.waiting_bytes {
            return Some(format!("the runs that wait would take {bytes} bytes"));
        }
        // What may start has no bytes of a report yet, and does not start before there is room.
        if order.arguments.is_err() && session.kept_bytes >= config.kept_bytes {
            let bytes = session.kept_bytes;
            return Some(format!("{bytes} bytes of reports are not acknowledged"));
        }
        // Ends of runs that were never started count too, or they would have no bound.
        if session.kept >= config.kept.saturating_add(config.waiting()) {
            return Some(format!("{} reports are not acknowledged", session.kept));
        }
        None
    }

    fn admit_new(&mut self, id: Uuid, order: Checked) {
        let run = order.of.run;
        let bytes = order.bytes();
        let Checked { of, spec, attempt, index, digest, arguments, deadline } = order;
        let (component, size, sameness) = (spec.component, spec.size, spec.sameness);
        let serial = self.serial();
        let held = |phase| Held {
            serial,
            lease: of.lease,
            attempt,
            component,
            sameness,
            arguments: digest,
            phase,
        };
        let arguments = match arguments {
            Ok(arguments) => arguments,
            Err(end) => return self.attach_ended(id, run, Arc::unwrap_or_clone(end), held),
        };
        let ready = match self.components.want(component, size, id) {
            Wanted::Ready => true,
            Wanted::Later => false,
            Wanted::Refused(end) => return self.attach_ended(id, run, end, held),
            Wanted::Full => {
                let why = "the worker has no room for another component".to_owned();
                return self.hand_back(id, of, Some(why));
            }
        };
        let waiting = Waiting { spec, arguments, bytes, index, deadline, ready };
        self.attach(id, run, held(Phase::Waiting(Box::new(waiting))));
        if !ready {
            self.fetch(component);
        }
    }

    /// Takes a run in that has ended already.
    fn attach_ended(&mut self, id: Uuid, run: RunId, end: End, held: impl FnOnce(Phase) -> Held) {
        let kept = self.keep(wrap(end.into()), Usage::default(), false);
        self.attach(id, run, held(Phase::Ended(Box::new(kept))));
        self.say_again(id, run);
    }

    /// Gives a run back that is not here (any more).
    pub(super) fn hand_back(&mut self, id: Uuid, of: RunLease, why: Option<String>) {
        self.counters.handed_back += 1;
        if let Some(session) = self.sessions.get(&id) {
            session.outbox.hand_back(HandBack { of, why });
        }
    }

    /// Stops a run.
    pub(super) fn cancel(&mut self, id: Uuid, of: RunLease) {
        let Some(held) = self.held(id, of.run).filter(|held| held.lease == of.lease) else {
            return self.hand_back(id, of, Some("the worker does not hold the run".to_owned()));
        };
        match &held.phase {
            Phase::Waiting(_) => {
                let end = End::new(EndKind::Cancelled, "cancelled before it started");
                self.end(id, of.run, wrap(end.into()), Usage::default(), false);
            }
            Phase::Running(attending) => {
                attending.cancel.cancel();
            }
            Phase::Ended(_) => self.say_again(id, of.run),
        }
    }

    /// Gives a run back that has not started.
    pub(super) fn recall(&mut self, id: Uuid, of: RunLease) {
        let Some(held) = self.held(id, of.run).filter(|held| held.lease == of.lease) else {
            return self.hand_back(id, of, Some("the worker does not hold the run".to_owned()));
        };
        match &held.phase {
            Phase::Waiting(_) => {
                self.forget(id, of.run);
                self.hand_back(id, of, None);
            }
            Phase::Running(attending) => attending.tell_started(),
            Phase::Ended(_) => self.say_again(id, of.run),
        }
    }

    /// Forgets a run whose report was taken.
    pub(super) fn settled(&mut self, id: Uuid, of: RunLease) {
        let held = self.held(id, of.run).filter(|held| held.lease == of.lease);
        if held.is_some_and(|held| matches!(held.phase, Phase::Ended(_))) {
            self.forget(id, of.run);
        }
    }
}
