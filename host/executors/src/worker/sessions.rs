//! Coordinators that come, lose their links, come back and go; and the components that they are
//! asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_core::Component;
use sandmill_transport::direct::Life;
use sandmill_transport::message::{Goodbye, Hello, RunLease};
use sandmill_wire::{Digest, End, RunId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ending::{cut_refusal, wrap};
use super::outbox::Outbox;
use super::session::{Link, Phase, Session};
use super::state::{Stage, State};

/// Sessions that were let go of with nothing in them, and are known still should they come back.
const MAX_LET_GO: usize = 1_024;

/// A session that was opened, or taken up again.
pub(super) struct Opened {
    pub(super) number: u64,
    pub(super) stop: CancellationToken,
    pub(super) outbox: Arc<Outbox>,
    pub(super) holds: Vec<Digest>,
    pub(super) runs: Vec<RunLease>,
    /// Whether nothing of it was lost since the last link.
    pub(super) resumed: bool,
}

impl State {
    /// Opens the session that the peer names, or takes it up again; an earlier link of it ends.
    pub(super) fn open(
        &mut self,
        peer: &str,
        hello: &Hello,
        life: Life,
    ) -> Result<Opened, Goodbye> {
        // Whoever has something here may come back for it while the worker leaves.
        let known = self.sessions.contains_key(&hello.session);
        if self.stage == Stage::Closed || (self.stage == Stage::Draining && !known) {
            return Err(Goodbye::Leaving("the worker is going away".to_owned()));
        }
        let (id, grace) = (hello.session, hello.grace.min(self.config.max_grace));
        let mut resumed = known;
        if let Some(session) = self.sessions.get_mut(&id) {
            if session.peer != peer {
                return Err(Goodbye::Forbidden("the session is another's".to_owned()));
            }
            session.grace = grace;
            session.forget_at = None;
        } else {
            if self.sessions.len() >= self.config.sessions {
                let most = self.config.sessions;
                return Err(Goodbye::Busy(format!(
                    "the worker serves {most} coordinators already"
                )));
            }
            resumed = self.let_go.contains(&id);
            self.let_go.retain(|other| *other != id);
            self.sessions.insert(id, Session::new(peer.to_owned(), hello.name.clone(), grace));
        }
        self.links += 1;
        self.open_links += 1;
        let (number, stop) = (self.links, CancellationToken::new());
        // What was asked over the link before may never come.
        self.components.unask(id);
        let holds = self.components.ready().collect();
        let Some(session) = self.sessions.get_mut(&id) else {
            return Err(Goodbye::Busy("the session went away".to_owned()));
        };
        if let Some(before) = session.link.replace(Link { number, stop: stop.clone(), life }) {
            before.stop.cancel();
        }
        let reports = session.runs.iter().filter_map(|(run, held)| held.report(*run));
        session.outbox.start_over(number, reports);
        if self.stage == Stage::Draining {
            session.outbox.draining();
        }
        for held in session.runs.values() {
            if let Phase::Running(attending) = &held.phase {
                attending.tell_anew();
            }
        }
        let outbox = Arc::clone(&session.outbox);
        let runs = session.runs.iter().map(|(run, held)| held.of(*run)).collect();
        self.rejoin(id);
        self.look_at(Instant::now());
        Ok(Opened { number, stop, outbox, holds, runs, resumed })
    }

    /// Notes that the link is gone. What the session holds stays for its grace.
    pub(super) fn link_lost(&mut self, id: Uuid, number: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !session.is_served_by(number) {
            return;
        }
        if let Some(link) = session.link.take() {
            link.stop.cancel();
        }
        let at = Instant::now() + session.grace;
        session.forget_at = Some(at);
        self.components.unask(id);
        if self.forget_if_empty(id) {
            // All of it had come to its end: should it come back, nothing of it was lost.
            if self.let_go.len() >= MAX_LET_GO {
                self.let_go.pop_front();
            }
            self.let_go.push_back(id);
        } else {
            self.look_at(at);
        }
        // Others that wait for what it was asked for are asked.
        self.look_at(Instant::now());
    }

    /// Forgets a session that has no link and holds nothing; whether it did.
    pub(super) fn forget_if_empty(&mut self, id: Uuid) -> bool {
        let empty = |session: &Session| session.link.is_none() && session.runs.is_empty();
        let gone = self.sessions.get(&id).is_some_and(empty);
        if gone {
            self.close(id, None);
        }
        gone
    }

    /// Ends a session for good: what it holds is cancelled and forgotten. One that has a link is
    /// told why.
    pub(super) fn close(&mut self, id: Uuid, goodbye: Option<Goodbye>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.link = None;
        if let Some(goodbye) = goodbye {
            // The reports that wait are still said before it.
            session.outbox.goodbye(goodbye);
        }
        let runs: Vec<RunId> = session.runs.keys().copied().collect();
        runs.into_iter().for_each(|run| self.forget(id, run));
        self.sessions.remove(&id);
        self.turns.retain(|turn| *turn != id);
        self.components.unask(id);
        self.look_at(Instant::now());
        self.bells.changed.notify_waiters();
    }

    /// Has a component that is missing fetched: from what is here already, or from a coordinator.
    pub(super) fn fetch(&mut self, digest: Digest) {
        if !self.components.is_missing(&digest) {
            return;
        }
        if let Some(bytes) = self.values.remove(&digest) {
            // It was sent before anybody said what it is.
            self.received(digest, bytes);
        } else {
            self.ask(Instant::now());
        }
    }

    /// Asks for components where that is due.
    pub(super) fn ask(&mut self, now: Instant) {
        let patience = self.config.need_patience.max(Duration::from_millis(1));
        let sessions = &self.sessions;
        let peer_of = |id: &Uuid| {
            let session = sessions.get(id).filter(|session| session.link.is_some())?;
            Some(session.peer.clone())
        };
        let (asks, next) = self.components.ask(now, patience, peer_of);
        for (id, digest) in asks {
            if let Some(session) = self.sessions.get(&id) {
                session.outbox.need(digest);
            }
        }
        if let Some(next) = next {
            self.look_at(next);
        }
    }

    /// Takes the bytes of a component that is wanted; somebody has to compile it then.
    pub(super) fn received(&mut self, digest: Digest, bytes: Bytes) {
        self.counters.bytes_in += bytes.len() as u64;
        self.components.received(digest, bytes);
        self.look_at(Instant::now());
    }

    /// Takes what came of compiling a component: lets the runs start that wait for it, or ends them.
    pub(super) fn prepared(&mut self, digest: Digest, end: Result<Component, End>) {
        let end = end.map_err(cut_refusal);
        let refused = end.as_ref().err().cloned();
        let wanting = self.components.prepared(&digest, end);
        for session in self.sessions.values().filter(|session| session.link.is_some()) {
            session.outbox.holds(digest, refused.clone());
        }
        for id in wanting {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            let mut runs: Vec<(u64, RunId)> = session
                .runs
                .iter_mut()
                .filter(|(_, held)| held.component == digest)
                .filter_map(|(run, held)| match &mut held.phase {
                    Phase::Waiting(waiting) if !waiting.ready => {
                        waiting.ready = refused.is_none();
                        Some((held.serial, *run))
                    }
                    _ => None,
                })
                .collect();
            runs.sort_unstable();
            for (serial, run) in runs {
                match &refused {
                    None => {
                        if let Some(session) = self.sessions.get_mut(&id) {
                            session.ready.push_back((run, serial));
                        }
                    }
                    Some(end) => {
                        let wrapped = wrap(end.clone().into());
                        self.end(id, run, wrapped, sandmill_core::Usage::default(), false);
                    }
                }
            }
            self.rejoin(id);
        }
        self.bells.changed.notify_waiters();
    }
}
