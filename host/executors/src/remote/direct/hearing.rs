//! What links have to say, taken up: connections that come and go, and what workers tell of runs.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sandmill_core::Report;
use sandmill_scheduler::{Event, HandBackWhy, HostId, LeaseId, RunNo};
use sandmill_transport::message::{
    FromWorker, Goodbye, HandBack, Note, Noted, RunLease, RunReport, Welcome,
};
use sandmill_wire::{End, EndKind, Outcome};

use super::super::fleet::HostState;
use super::answers::{Answer, answer, fetched};
use super::carrier::Carrier;
use super::config::MAX_REFUSED;
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
                && (host.is_connected || host.is_placed)
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
                host.outbox.refuse(why.clone());
                host.is_hopeless = true;
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
        // Where it holds on to the session, what it does not hold never got there: it starts nothing
        // while it has no link.
        let resumed = welcome.resumed && !another;
        let Some(host) = self.hosts.get_mut(&id.0) else { return };
        let unsent: HashSet<RunLease> = host.outbox.unsent().into_iter().collect();
        host.opened(connection, welcome);
        host.is_placed = true;
        let leaving = host.is_leaving;
        self.compare(id, &held, |of| resumed || unsent.contains(of));
        self.tell(Event::HostUp { host: id, spec });
        self.let_go_of(id, &held);
        if leaving {
            self.leave(id);
        }
    }

    /// Compares what a worker has, which came back, with what it was given. Of what it has not it may be
    /// known that it never came there.
    fn compare(
        &mut self,
        host: HostId,
        held: &HashSet<RunLease>,
        never_came: impl Fn(&RunLease) -> bool,
    ) {
        let given: Vec<(RunNo, LeaseId)> = self.scheduler.runs_at(host).collect();
        for (run, lease) in given {
            let recalled = self.scheduler.placed(run).is_some_and(|placed| placed.recalled);
            let Some(entry) = self.runs.get_mut(run) else { continue };
            let of = RunLease { run: entry.ticket.run(), lease: wire(lease) };
            // What is there is told again from the beginning.
            entry.fetching = false;
            if !held.contains(&of) {
                if never_came(&of) || !entry.stage.has_effects || entry.ticket.is_cancelled() {
                    self.never_arrived(host, of);
                } else {
                    let words = "the host let go of the run after its link broke; it may have \
                                 changed something outside, so it is not made again unasked";
                    self.give_up(host, run, lease, End::new(EndKind::HostLost, words));
                }
            } else if let Some(host) = self.hosts.get(&host.0) {
                // What was asked may have been lost with the link.
                if entry.ticket.is_cancelled() {
                    host.outbox.cancel(of);
                } else if recalled {
                    host.outbox.recall(of);
                }
            }
        }
    }

    /// Has a worker that came back stop what nobody waits for there: it went elsewhere meanwhile, or
    /// has ended. What it is given again, it goes on with.
    fn let_go_of(&mut self, host: HostId, held: &HashSet<RunLease>) {
        for of in held {
            let run = self.runs.number(&of.run);
            let placed = run.and_then(|run| self.scheduler.placed(run));
            if placed.is_none_or(|placed| placed.host != host)
                && let Some(host) = self.hosts.get(&host.0)
            {
                host.outbox.cancel(*of);
            }
        }
    }

    /// An order did not get to the host.
    pub(super) fn never_arrived(&mut self, host: HostId, of: RunLease) {
        let Some(run) = self.current(host, of) else { return };
        self.runs.waits_again(run, Instant::now());
        let (lease, why) = (LeaseId(of.lease.0), HandBackWhy::NeverArrived);
        self.tell(Event::HandBack { host, run, lease, why });
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
                if std::mem::take(&mut entry.expired) {
                    // It was in time after all.
                    let by = self.end_by(run);
                    self.runs.answer_by(run, by);
                }
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
        // What was stopped or broke says nothing of how long the others will take.
        let (micros, ended) = (report.usage.wall_micros, &report.outcome);
        let took = matches!(ended, Outcome::Value(_)).then(|| Duration::from_micros(micros));
        self.taking = Some(report);
        self.tell(Event::Ended { host, run, lease: LeaseId(of.lease.0), took });
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
        self.refused(host, run, of, &format!("its arguments could not be sent there: {error}"));
    }

    fn back(&mut self, host: HostId, back: HandBack) {
        let Some(run) = self.current(host, back.of) else { return };
        if let Some(why) = &back.why {
            return self.refused(host, run, back.of, why);
        }
        self.runs.waits_again(run, Instant::now());
        let (lease, why) = (LeaseId(back.of.lease.0), HandBackWhy::Asked);
        self.tell(Event::HandBack { host, run, lease, why });
    }

    /// A host does not take the run: another may, or the same one later. A run that none takes, again
    /// and again, ends.
    fn refused(&mut self, host: HostId, run: RunNo, of: RunLease, why: &str) {
        let name = self.name_of(host);
        self.runs.waits_again(run, Instant::now());
        if let Some(entry) = self.runs.get_mut(run) {
            entry.refused += 1;
            if entry.refused >= MAX_REFUSED {
                let words = format!("{MAX_REFUSED} times hosts gave it back, {name} last: {why}");
                entry.end = Some(End::new(EndKind::Refused, words));
                self.tell(Event::Withdraw { run });
            }
        }
        let (lease, why) = (LeaseId(of.lease.0), HandBackWhy::Refused);
        self.tell(Event::HandBack { host, run, lease, why });
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
