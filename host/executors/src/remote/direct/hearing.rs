//! What links have to say, taken up: connections that come and go, and what workers tell of runs.

use std::collections::HashSet;
use std::time::Instant;

use sandmill_core::Report;
use sandmill_scheduler::{Event, HandBackWhy, HostId, LeaseId, RunNo};
use sandmill_transport::message::{
    FromWorker, Goodbye, HandBack, Note, Noted, RunLease, RunReport, Welcome,
};
use sandmill_wire::{End, EndKind};

use super::super::fleet::HostState;
use super::answers::{Answer, answer, fetched};
use super::carrier::Carrier;
use super::hosts::Host;
use super::link::{News, NewsKind};
use super::outbox::Fetch;
use super::way::WayError;

impl Carrier {
    /// Takes up what a link has to say.
    pub(super) fn hear(&mut self, news: News) {
        let host = HostId(news.link);
        let now = self.clock.now();
        let Some(known) = self.host_mut(host) else { return };
        match &news.kind {
            NewsKind::Opened(_) | NewsKind::Failed(_) => {}
            // Of a connection that is not the host's any more.
            _ if news.connection != known.connection => return,
            _ => {}
        }
        if matches!(news.kind, NewsKind::Opened(_) | NewsKind::Said(_)) {
            known.heard = Instant::now();
            known.heard_at = Some(now);
        }
        match news.kind {
            NewsKind::Opened(welcome) => self.opened(host, news.connection, welcome),
            NewsKind::Failed(error) => {
                known.is_hopeless = !error.is_passing;
                known.why = Some(error.words);
                // One that was never reached may be coming up: a start waits for it a little.
                let is_new = known.connection == 0 && error.is_passing;
                if !known.is_placed && !is_new {
                    known.state = HostState::Down;
                }
            }
            NewsKind::Said(message) => self.said(host, message),
            NewsKind::Fetched(fetch, got) => self.fetched(host, &fetch, got),
            NewsKind::NotBrought(of, error) => self.not_brought(host, of, &error),
            NewsKind::Component(digest, brought) => {
                if brought.is_err() {
                    self.tell(Event::Drops { host, digest });
                }
            }
            NewsKind::Broken(error, heard) => {
                // Its messages may have stood behind a value that it was sending.
                known.heard = heard.map_or(known.heard, |heard| known.heard.max(heard));
                self.broken(host, error);
            }
        }
    }

    fn opened(&mut self, id: HostId, connection: u64, welcome: Box<Welcome>) {
        let same = |host: &&Host| {
            host.id != id
                && host.is_connected
                && host.welcome.as_ref().is_some_and(|other| other.worker == welcome.worker)
        };
        let twin = self.hosts.values().find(same).map(|host| host.address.clone());
        let Some(host) = self.hosts.get_mut(&id.0) else { return };
        let spec = match twin {
            Some(twin) => Err(format!("it is the same worker as {twin}")),
            None => Host::spec(&welcome),
        };
        let spec = match spec {
            Ok(spec) => spec,
            Err(why) => {
                host.connection = connection;
                host.outbox.open(connection);
                host.outbox.hang_up(why.clone());
                host.state = HostState::Down;
                host.why = Some(why);
                return;
            }
        };
        let another = host.welcome.as_ref().is_some_and(|before| before.worker != welcome.worker);
        if another && host.is_placed {
            // What it had is gone with its process.
            self.lose(id, "its process has ended, and another one answers at its address");
        }
        let held: HashSet<RunLease> = welcome.runs.iter().copied().collect();
        let Some(host) = self.hosts.get_mut(&id.0) else { return };
        host.opened(connection, welcome);
        host.is_placed = true;
        let leaving = host.is_leaving;
        self.compare(id, &held);
        self.tell(Event::HostUp { host: id, spec });
        if leaving {
            self.leave(id);
        }
    }

    /// Compares what a worker has, which came back, with what it was given.
    fn compare(&mut self, host: HostId, held: &HashSet<RunLease>) {
        let given: Vec<(RunNo, LeaseId)> = self.scheduler.runs_at(host).collect();
        let mut known = HashSet::with_capacity(given.len());
        for (run, lease) in given {
            let Some(entry) = self.runs.get_mut(run) else { continue };
            let of = RunLease { run: entry.ticket.run(), lease: wire(lease) };
            known.insert(of);
            // What is there is told again from the beginning.
            entry.fetching = false;
            if held.contains(&of) {
                if (entry.ticket.is_cancelled() || entry.expired)
                    && let Some(host) = self.hosts.get(&host.0)
                {
                    host.outbox.cancel(of);
                }
                continue;
            }
            if entry.stage.has_effects && !entry.ticket.is_cancelled() {
                let words = "the host let go of the run after its link broke; it may have changed \
                             something outside, so it is not made again unasked";
                self.give_up(host, run, lease, words);
            } else {
                self.runs.waits_again(run);
                let why = HandBackWhy::NeverArrived;
                self.tell(Event::HandBack { host, run, lease, why });
            }
        }
        for of in held.difference(&known) {
            // It went elsewhere meanwhile, or has ended: nobody waits for it here.
            if let Some(host) = self.hosts.get(&host.0) {
                host.outbox.cancel(*of);
            }
        }
    }

    /// Ends a run that cannot go elsewhere.
    fn give_up(&mut self, host: HostId, run: RunNo, lease: LeaseId, words: &str) {
        self.taking = Some(Report::unstarted(End::new(EndKind::HostLost, words)));
        self.tell(Event::Ended { host, run, lease });
        self.taking = None;
    }

    fn broken(&mut self, id: HostId, error: WayError) {
        let Some(host) = self.host_mut(id) else { return };
        host.is_connected = false;
        let is_placed = host.is_placed;
        if !is_placed {
            host.state = HostState::Down;
            host.why.get_or_insert(error.words);
            return;
        }
        host.why = Some(error.words);
        host.state = HostState::Silent;
        if error.is_goodbye {
            self.lose(id, "it has left");
        } else {
            self.tell(Event::HostSilent { host: id });
        }
    }

    fn said(&mut self, host: HostId, message: FromWorker) {
        match message {
            FromWorker::Notes(notes) => notes.into_iter().for_each(|noted| self.noted(host, noted)),
            FromWorker::Ended(reports) => {
                reports.into_iter().for_each(|report| self.reported(host, report));
            }
            FromWorker::HandBack(back) => back.into_iter().for_each(|back| self.back(host, back)),
            FromWorker::Need(digest) => {
                self.tell(Event::Drops { host, digest });
                if let (Some(component), Some(host)) =
                    (self.runs.component(&digest), self.hosts.get(&host.0))
                {
                    host.outbox.component(component);
                }
            }
            FromWorker::Holds { digest, refused: None } => self.tell(Event::Holds { host, digest }),
            // The worker ends the runs that waited for it.
            FromWorker::Holds { digest, .. } => self.tell(Event::Drops { host, digest }),
            FromWorker::Heartbeat(load) => {
                if let Some(host) = self.host_mut(host) {
                    host.load = load;
                }
            }
            FromWorker::Draining => {
                if let Some(known) = self.host_mut(host) {
                    known.state = HostState::Draining;
                    self.tell(Event::HostDraining { host });
                }
            }
            FromWorker::Goodbye(goodbye) => {
                let leaving = matches!(goodbye, Goodbye::Leaving(_));
                if let Some(known) = self.host_mut(host) {
                    known.why = Some(goodbye.to_string());
                    known.outbox.hang_up(goodbye.to_string());
                    known.is_connected = false;
                    known.state = HostState::Silent;
                }
                if leaving {
                    self.lose(host, "it has left");
                } else {
                    self.tell(Event::HostSilent { host });
                }
            }
            // A later worker says what this coordinator does not know, and need not.
            _ => {}
        }
    }

    /// The run's number, where this is its latest placement.
    fn current(&self, host: HostId, of: RunLease) -> Option<RunNo> {
        let run = self.runs.number(&of.run)?;
        let placed = self.scheduler.placed(run)?;
        (placed.host == host && wire(placed.lease) == of.lease).then_some(run)
    }

    fn noted(&mut self, host: HostId, noted: Noted) {
        let Some(run) = self.current(host, noted.of) else { return };
        let Some(entry) = self.runs.get_mut(run) else { return };
        match noted.note {
            Note::Started => {
                entry.started = true;
                entry.ticket.started();
                self.tell(Event::Started { run, lease: LeaseId(noted.of.lease.0) });
            }
            Note::Log(line) => entry.ticket.log(line),
            Note::Progress(progress) => entry.ticket.progress(progress),
        }
    }

    fn reported(&mut self, host: HostId, report: RunReport) {
        let of = report.of;
        let Some(run) = self.current(host, of) else { return self.stale(host, of) };
        let Some(entry) = self.runs.get_mut(run) else { return };
        match answer(report, &entry.stage.options.limits) {
            Answer::Report(report) => self.take_report(host, run, of, report),
            Answer::Fetch(fetch) => {
                if !std::mem::replace(&mut entry.fetching, true)
                    && let Some(host) = self.hosts.get(&host.0)
                {
                    host.outbox.fetch(fetch);
                }
            }
        }
    }

    /// A report that comes too late is not taken, and need not be kept by the worker.
    fn stale(&mut self, host: HostId, of: RunLease) {
        if let Some(host) = self.host_mut(host) {
            host.stale += 1;
            host.outbox.settled(of);
        }
    }

    fn take_report(&mut self, host: HostId, run: RunNo, of: RunLease, report: Report) {
        self.taking = Some(report);
        self.tell(Event::Ended { host, run, lease: LeaseId(of.lease.0) });
        self.taking = None;
        if let Some(host) = self.host_mut(host) {
            host.outbox.settled(of);
        }
    }

    fn fetched(&mut self, host: HostId, fetch: &Fetch, got: Result<bytes::Bytes, WayError>) {
        let Some(run) = self.current(host, fetch.of) else { return self.stale(host, fetch.of) };
        self.take_report(host, run, fetch.of, fetched(fetch, got));
    }

    fn not_brought(&mut self, host: HostId, of: RunLease, error: &WayError) {
        let Some(known) = self.host_mut(host) else { return };
        known.outbox.take_back(of);
        let Some(run) = self.current(host, of) else { return };
        if let Some(entry) = self.runs.get(run) {
            let name = self.name_of(host);
            entry.ticket.remark(format!("its arguments could not be sent to {name}: {error}"));
        }
        let (lease, why) = (LeaseId(of.lease.0), HandBackWhy::Refused);
        self.tell(Event::HandBack { host, run, lease, why });
    }

    fn back(&mut self, host: HostId, back: HandBack) {
        let Some(run) = self.current(host, back.of) else { return };
        let why = if back.why.is_some() { HandBackWhy::Refused } else { HandBackWhy::Asked };
        self.runs.waits_again(run);
        self.tell(Event::HandBack { host, run, lease: LeaseId(back.of.lease.0), why });
    }

    /// Gives a host nothing new; it is let go of once it has nothing.
    pub(super) fn leave(&mut self, host: HostId) {
        let Some(known) = self.host_mut(host) else { return };
        known.is_leaving = true;
        if known.is_placed {
            known.state = HostState::Draining;
            self.tell(Event::HostDraining { host });
        }
    }
}

/// The lease as it is on the wire.
const fn wire(lease: LeaseId) -> sandmill_transport::message::LeaseId {
    sandmill_transport::message::LeaseId(lease.0)
}
