//! What workers say, taken up: each thing once, and only under a run's latest lease.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_core::{Component, Report};
use sandmill_transport::engine::{Beat, ValueName};
use sandmill_transport::message::{
    FromWorker, Goodbye, HandBack, Note, Noted, RunLease, RunReport, WorkerId,
};
use sandmill_wire::{Digest, End, EndKind, RunId};

use super::super::direct::WayError;
use super::super::direct::answers::{Answer, answer, fetched};
use super::super::direct::outbox::Fetch;
use super::carrier::{Carrier, Errand};
use super::runs::Place;

/// The pause before a run that was given back goes into the engine again; twice as long each time.
const BACK_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const BACK_PAUSE_MOST: Duration = Duration::from_secs(10);

/// How often hosts may refuse a run before it is given up. They are asked less and less often, so that this
/// takes minutes.
const MAX_REFUSED: u32 = 20;

/// What a message asks to be done at the engine.
pub(super) enum Asked {
    /// A result is to be got.
    Fetch(WorkerId, Fetch),
    /// A component is to be brought.
    Component(Component),
    /// Large arguments are to be brought.
    Value(ValueName, Bytes),
}

impl Carrier {
    /// Takes up what a worker said.
    pub(super) fn said(&mut self, worker: WorkerId, message: FromWorker, asked: &mut Vec<Asked>) {
        let now = self.clock.now();
        self.hosts.heard(worker, now).beaten = Instant::now();
        match message {
            FromWorker::Notes(notes) => {
                notes.into_iter().for_each(|noted| self.noted(worker, noted))
            }
            FromWorker::Ended(reports) => {
                for report in reports {
                    asked.extend(self.reported(worker, report));
                }
            }
            FromWorker::HandBack(back) => {
                back.into_iter().for_each(|back| self.back(worker, &back))
            }
            FromWorker::Need(digest) => asked.extend(self.needed(digest)),
            FromWorker::Draining => self.hosts.heard(worker, now).draining = true,
            // It has said all that it had to say before.
            FromWorker::Goodbye(Goodbye::Leaving(_)) => self.lose_host(&worker),
            _ => {}
        }
    }

    fn needed(&self, digest: Digest) -> Option<Asked> {
        if let Some(component) = self.runs.component(&digest) {
            return Some(Asked::Component(component.clone()));
        }
        let (bytes, _) = self.values.get(&digest)?;
        Some(Asked::Value(ValueName::Arguments(self.session, digest), bytes.clone()))
    }

    /// Notes that a worker has the run; whether it does under its latest lease.
    fn claim(&mut self, worker: WorkerId, of: RunLease) -> bool {
        let lease = self.config.lease;
        let Some(entry) = self.runs.current(of) else { return false };
        let before = match entry.place {
            Place::Held(holder) if holder == worker => return true,
            Place::Held(holder) => Some(holder),
            _ => None,
        };
        if let Some(before) = before {
            // It was given out twice. Whoever had it first answers for it, while it is there.
            let is_there = |host: &super::hosts::Host| host.beaten.elapsed() < lease / 2;
            if self.hosts.get(&before).is_some_and(is_there) {
                return true;
            }
            if let Some(host) = self.hosts.get_mut(&before) {
                host.runs.remove(&of.run);
            }
        }
        let now = self.clock.now();
        let is_stopping = self.runs.get_mut(&of.run).is_some_and(|entry| {
            entry.place = Place::Held(worker);
            entry.held_since = Instant::now();
            entry.recalled = false;
            entry.handed_back = 0;
            entry.stopping.is_some()
        });
        let host = self.hosts.heard(worker, now);
        host.runs.insert(of.run);
        if is_stopping {
            self.ask_to_stop(worker, of);
        }
        true
    }

    /// Takes up what a worker has.
    pub(super) fn beat(&mut self, beat: Beat) {
        let now = self.clock.now();
        let Beat { worker, name, load, number, last, runs } = beat;
        let host = self.hosts.heard(worker, now);
        host.beaten = Instant::now();
        host.name = name;
        host.load = load;
        if host.beat.0 != number {
            host.beat = (number, Vec::new());
        }
        host.beat.1.extend(runs);
        if !last {
            return;
        }
        let told = std::mem::take(&mut host.beat.1);
        for of in &told {
            if !self.claim(worker, *of) {
                // Nobody waits for it there.
                let host = self.hosts.heard(worker, now);
                host.cancelled.push(*of);
                host.settled.push(*of);
            } else if self.runs.get(&of.run).is_some_and(|entry| entry.stopping.is_some()) {
                self.ask_to_stop(worker, *of);
            }
        }
        let told: HashSet<RunId> = told.iter().map(|of| of.run).collect();
        let host = self.hosts.heard(worker, now);
        let let_go: Vec<RunId> = host.runs.difference(&told).copied().collect();
        for run in let_go {
            self.let_go(worker, &run);
        }
    }

    /// The worker does not have the run any more; why, it may have said already.
    fn let_go(&mut self, worker: WorkerId, run: &RunId) {
        if let Some(host) = self.hosts.get_mut(&worker) {
            host.runs.remove(run);
        }
        if let Some(entry) = self.runs.get_mut(run)
            && entry.place == Place::Held(worker)
        {
            let item = entry.item.unwrap_or_default();
            entry.place = Place::Out { item, unheld_since: Instant::now() };
        }
    }

    fn noted(&mut self, worker: WorkerId, noted: Noted) {
        if !self.claim(worker, noted.of) {
            return;
        }
        let Some(entry) = self.runs.current(noted.of) else { return };
        if entry.place != Place::Held(worker) {
            return;
        }
        match noted.note {
            Note::Started => {
                let was_overdue = entry.is_overdue();
                entry.started = true;
                entry.ticket.started();
                if was_overdue {
                    self.runs.is_in_time(&noted.of.run);
                }
            }
            Note::Log(line) => entry.ticket.log(line),
            Note::Progress(progress) => entry.ticket.progress(progress),
        }
    }

    fn reported(&mut self, worker: WorkerId, report: RunReport) -> Option<Asked> {
        let of = report.of;
        let Some(entry) = self.runs.current(of) else {
            self.stale(worker, of);
            return None;
        };
        match answer(report, &entry.stage.options.limits) {
            Answer::Report(report) => {
                self.finish(of, report);
                self.settle(worker, of);
                None
            }
            Answer::Fetch(fetch) => {
                let fetching = std::mem::replace(&mut entry.fetching, true);
                (!fetching).then_some(Asked::Fetch(worker, fetch))
            }
        }
    }

    fn stale(&mut self, worker: WorkerId, of: RunLease) {
        let now = self.clock.now();
        self.hosts.heard(worker, now).stale += 1;
        self.settle(worker, of);
    }

    /// A result was got, or could not be.
    pub(super) fn fetched(
        &mut self,
        worker: WorkerId,
        fetch: &Fetch,
        got: Result<Bytes, WayError>,
    ) {
        let name = ValueName::Result(fetch.of, fetch.digest);
        let Some(entry) = self.runs.current(fetch.of) else {
            self.errands.push(Errand::RemoveValue(name));
            return self.stale(worker, fetch.of);
        };
        if got.as_ref().is_err_and(|error| error.is_passing) {
            // It is not settled: the worker says it again, and brings the result again.
            entry.fetching = false;
            return;
        }
        self.errands.push(Errand::RemoveValue(name));
        self.finish(fetch.of, fetched(fetch, got));
        self.settle(worker, fetch.of);
    }

    fn back(&mut self, worker: WorkerId, back: &HandBack) {
        let of = back.of;
        let Some(entry) = self.runs.current(of) else { return };
        if matches!(entry.place, Place::Held(holder) if holder != worker) {
            // It was given out twice: whoever has it answers for it.
            return;
        }
        if entry.stopping.is_some() {
            return self.end_stopped(&of.run);
        }
        let times = entry.handed_back.min(16);
        entry.handed_back = entry.handed_back.saturating_add(1);
        let mut pause = Duration::ZERO;
        if let Some(why) = &back.why {
            pause = (BACK_PAUSE * (1 << times)).min(BACK_PAUSE_MOST);
            entry.refused += 1;
            if entry.refused >= MAX_REFUSED {
                let words = format!("{MAX_REFUSED} times hosts gave it back, the last time: {why}");
                let report = Report::unstarted(End::new(EndKind::Refused, words));
                return self.finish(of, report);
            }
            entry.ticket.waits(format!("it was given back: {why}"));
        }
        self.requeue(&of.run, pause);
    }
}
