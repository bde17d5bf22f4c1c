//! The components that a worker has, waits for, or cannot have. Plain state: who asks, sends and
//! compiles is in `state`, `receiving` and `prepare`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_core::Component;
use sandmill_wire::{Digest, End, EndKind};
use uuid::Uuid;

use super::config::{ASKED_SHARE, MAX_COMPONENTS, MAX_SENDERS};
use super::sender::Sender;

/// How long nobody is asked again for a component whose transfer broke off.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Where a component stands.
enum Stage {
    /// Not here.
    Missing(Missing),
    /// Here, and being compiled.
    Preparing,
    /// Here.
    Ready(Component),
    /// Here once, and not to be had.
    Refused(End),
}

#[derive(Default)]
struct Missing {
    /// Who was asked for it, and when.
    asked: Option<(Uuid, Instant)>,
    /// Who was asked last, whatever came of it.
    last: Option<Uuid>,
    /// Before then nobody is asked.
    not_before: Option<Instant>,
    /// Those who bring it.
    senders: Vec<Sender>,
    /// When the last of them began.
    began: Option<Instant>,
}

impl Missing {
    /// When another may bring it too, while somebody does.
    fn too_slow_at(&self, patience: Duration) -> Option<Instant> {
        self.began.filter(|_| !self.senders.is_empty()).map(|began| began + patience)
    }
}

struct Entry {
    size: u64,
    stage: Stage,
    /// Bytes that it takes since it is here.
    reserved: u64,
    /// How many runs that have not ended want it, by session.
    users: BTreeMap<Uuid, usize>,
    last_used: u64,
}

impl Entry {
    /// Whether it is here and nobody wants it.
    fn is_unused(&self) -> bool {
        self.users.is_empty() && matches!(self.stage, Stage::Ready(_))
    }
}

/// What comes of wanting a component.
pub(super) enum Wanted {
    /// It is here.
    Ready,
    /// It will come.
    Later,
    /// It cannot be had.
    Refused(End),
    /// There is no room to remember it.
    Full,
}

/// What is to be done with the bytes of a component that somebody brings.
#[derive(Debug)]
pub(super) enum Bring {
    /// Take them.
    Take(Sender),
    /// They are here.
    Held,
    /// Somebody else brings them, or there is no room for the moment.
    Wait,
    /// Nobody wants it as a component.
    Unwanted,
}

/// The components of a worker.
pub(super) struct Components {
    entries: HashMap<Digest, Entry>,
    bytes: u64,
    bound: u64,
    uses: u64,
    /// Waits to be compiled.
    pub(super) queue: VecDeque<(Digest, Bytes)>,
    /// Threads that compile.
    pub(super) compilers: usize,
    transfers: HashMap<Digest, u64>,
}

impl Components {
    pub(super) fn new(bound: u64) -> Self {
        Self {
            entries: HashMap::new(),
            bytes: 0,
            bound,
            uses: 0,
            queue: VecDeque::new(),
            compilers: 0,
            transfers: HashMap::new(),
        }
    }

    /// Notes that one more run of the session wants it; to be taken back by [`Self::unwant`] where
    /// it is ready or comes later.
    pub(super) fn want(&mut self, digest: Digest, size: u64, session: Uuid) -> Wanted {
        if !self.entries.contains_key(&digest) {
            if self.entries.len() >= MAX_COMPONENTS && !self.forget_one() {
                return Wanted::Full;
            }
            let entry = Entry {
                size,
                stage: Stage::Missing(Missing::default()),
                reserved: 0,
                users: BTreeMap::new(),
                last_used: 0,
            };
            self.entries.insert(digest, entry);
        }
        self.uses += 1;
        let Some(entry) = self.entries.get_mut(&digest) else { return Wanted::Full };
        entry.last_used = self.uses;
        let wanted = match &entry.stage {
            Stage::Refused(end) => return Wanted::Refused(end.clone()),
            Stage::Ready(_) => Wanted::Ready,
            Stage::Missing(_) | Stage::Preparing => Wanted::Later,
        };
        *entry.users.entry(session).or_default() += 1;
        wanted
    }

    /// Notes that a run of the session does not want it any more.
    pub(super) fn unwant(&mut self, digest: &Digest, session: Uuid) {
        let Some(entry) = self.entries.get_mut(digest) else { return };
        if let Some(count) = entry.users.get_mut(&session) {
            *count -= 1;
            if *count == 0 {
                entry.users.remove(&session);
            }
        }
        let idle = matches!(&entry.stage, Stage::Missing(missing) if missing.senders.is_empty());
        if entry.users.is_empty() && idle {
            self.remove(digest);
        }
    }

    /// Notes that one more run of the session wants it, which it is known to be here for.
    pub(super) fn want_too(&mut self, digest: &Digest, session: Uuid) {
        if let Some(entry) = self.entries.get_mut(digest) {
            *entry.users.entry(session).or_default() += 1;
        }
    }

    /// The component, if it is ready.
    pub(super) fn get(&self, digest: &Digest) -> Option<&Component> {
        match &self.entries.get(digest)?.stage {
            Stage::Ready(component) => Some(component),
            _ => None,
        }
    }

    /// Whether it is wanted and not here.
    pub(super) fn is_missing(&self, digest: &Digest) -> bool {
        let entry = self.entries.get(digest);
        entry.is_some_and(|entry| matches!(entry.stage, Stage::Missing(_)))
    }

    /// What is to be done with bytes of it that somebody brings. Takes room for the first of them: a
    /// size is only said, and who says it may be slow, or never send any.
    pub(super) fn bring(
        &mut self,
        digest: &Digest,
        first: u64,
        now: Instant,
        patience: Duration,
    ) -> Bring {
        match self.entries.get(digest).map(|entry| &entry.stage) {
            None | Some(Stage::Refused(_)) => return Bring::Unwanted,
            Some(Stage::Preparing | Stage::Ready(_)) => return Bring::Held,
            Some(Stage::Missing(missing)) => {
                if missing.too_slow_at(patience).is_some_and(|at| at > now) {
                    return Bring::Wait;
                }
            }
        }
        if !self.hold(first) {
            return Bring::Wait;
        }
        let sender = Sender::default();
        if let Some(Entry { stage: Stage::Missing(missing), .. }) = self.entries.get_mut(digest) {
            // Never the one that has brought most: whoever else comes, that one gets there.
            let slowest = missing.senders.iter().enumerate().min_by_key(|(_, other)| other.came());
            if let Some((place, _)) = slowest
                && missing.senders.len() >= MAX_SENDERS
            {
                missing.senders.remove(place).ends();
            }
            missing.senders.push(sender.clone());
            missing.began = Some(now);
        }
        Bring::Take(sender)
    }

    /// Notes that bytes of one of those who bring it did not come whole.
    pub(super) fn broke_off(&mut self, digest: &Digest, sender: &Sender, now: Instant) {
        let Some(entry) = self.entries.get_mut(digest) else { return };
        let Stage::Missing(missing) = &mut entry.stage else { return };
        let before = missing.senders.len();
        missing.senders.retain(|other| other != sender);
        if missing.senders.len() == before || !missing.senders.is_empty() {
            return;
        }
        let not_before = Some(now + ASK_AGAIN);
        *missing = Missing { last: missing.last, not_before, ..Missing::default() };
        if entry.users.is_empty() {
            self.remove(digest);
        }
    }

    /// Takes the bytes that were brought, to be compiled. Those that come later are not needed.
    pub(super) fn received(&mut self, digest: Digest, bytes: Bytes) {
        let size = bytes.len() as u64;
        let Some(entry) = self.entries.get_mut(&digest) else { return };
        let Stage::Missing(missing) = &entry.stage else { return };
        missing.senders.iter().for_each(Sender::ends);
        self.bytes += size;
        entry.reserved = size;
        entry.stage = Stage::Preparing;
        self.queue.push_back((digest, bytes));
        if self.transfers.len() < MAX_COMPONENTS || self.transfers.contains_key(&digest) {
            *self.transfers.entry(digest).or_default() += 1;
        }
    }

    /// Notes what came of compiling it. The sessions that want it; where it is refused they want
    /// it no more.
    pub(super) fn prepared(&mut self, digest: &Digest, end: Result<Component, End>) -> Vec<Uuid> {
        let Some(entry) = self.entries.get_mut(digest) else { return Vec::new() };
        let sessions = entry.users.keys().copied().collect();
        match end {
            Ok(component) => entry.stage = Stage::Ready(component),
            Err(end) => {
                self.bytes -= std::mem::take(&mut entry.reserved);
                entry.users.clear();
                // A fault of this host may be gone the next time.
                if end.kind == EndKind::Refused {
                    entry.stage = Stage::Refused(end);
                } else {
                    self.remove(digest);
                }
            }
        }
        sessions
    }

    /// Whom to ask for what now, and when to look again. `peer_of` says who a session is of, where it
    /// can be asked at all.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        patience: Duration,
        peer_of: impl Fn(&Uuid) -> Option<String>,
    ) -> (Vec<(Uuid, Digest)>, Option<Instant>) {
        let (mut asks, mut next) = (Vec::new(), None::<Instant>);
        let mut later = |at: Instant| next = Some(next.map_or(at, |next: Instant| next.min(at)));
        let mut due = Vec::new();
        // What may come of those who were asked, by whom. It is kept free of other questions, but for
        // no longer than the patience, and never of bytes that do come.
        let (mut awaited, mut awaited_in_all) = (HashMap::<String, u64>::new(), 0_u64);
        for (digest, entry) in &self.entries {
            let Stage::Missing(missing) = &entry.stage else { continue };
            let asked = missing.asked.map(|(_, at)| at + patience);
            let too_slow = missing.too_slow_at(patience);
            match asked.max(missing.not_before).max(too_slow) {
                Some(at) if at > now => later(at),
                _ => due.push((missing.asked.map(|(_, at)| at), *digest)),
            }
            let Some((session, at)) = missing.asked else { continue };
            let came = missing.senders.iter().map(Sender::came).max();
            if came.is_some() || at + patience > now {
                let rest = entry.size.saturating_sub(came.unwrap_or(0));
                // What comes slowly keeps no room from others, but nobody is asked for more than can be.
                awaited_in_all =
                    awaited_in_all.saturating_add(if came.is_none() { rest } else { 0 });
                if let Some(peer) = peer_of(&session) {
                    *awaited.entry(peer).or_default() += rest;
                }
            }
        }
        // What nobody was asked for comes before what nobody brought.
        due.sort_unstable();
        let room = self.bound.saturating_sub(self.bytes_in_use());
        for (_, digest) in due {
            let Some(entry) = self.entries.get_mut(&digest) else { continue };
            let Stage::Missing(missing) = &mut entry.stage else { continue };
            // Another than the one that did not answer, where there is one.
            let last = missing.last;
            let after = entry.users.keys().filter(|&session| Some(*session) > last);
            let mut asked = after.chain(entry.users.keys()).filter_map(|session| {
                // Who brings it, however slowly, need not be asked for it again.
                let brings = !missing.senders.is_empty() && Some(*session) == last;
                peer_of(session).filter(|_| !brings).map(|peer| (*session, peer))
            });
            let (size, Some((asked, peer))) = (entry.size, asked.next()) else { continue };
            let of_peer = awaited.entry(peer).or_default();
            if awaited_in_all.saturating_add(size) > room
                || (*of_peer > 0 && of_peer.saturating_add(size) > self.bound / ASKED_SHARE)
            {
                continue;
            }
            *of_peer += size;
            awaited_in_all += size;
            missing.asked = Some((asked, now));
            missing.last = Some(asked);
            missing.not_before = None;
            later(now + patience);
            asks.push((asked, digest));
        }
        (asks, next)
    }

    /// Notes that this session cannot answer any more, so that others are asked.
    pub(super) fn unask(&mut self, session: Uuid) {
        for entry in self.entries.values_mut() {
            if let Stage::Missing(missing) = &mut entry.stage
                && missing.senders.is_empty()
                && missing.asked.is_some_and(|(asked, _)| asked == session)
            {
                missing.asked = None;
            }
        }
    }

    /// The digests of those that are ready.
    pub(super) fn ready(&self) -> impl Iterator<Item = Digest> {
        self.entries
            .iter()
            .filter(|(_, entry)| matches!(entry.stage, Stage::Ready(_)))
            .map(|(digest, _)| *digest)
    }

    /// Bytes that are taken by what is here, and by what is on its way.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often each was transferred.
    pub(super) const fn transfers(&self) -> &HashMap<Digest, u64> {
        &self.transfers
    }

    /// Takes room for so many more bytes on their way, and lets what nobody wants go for them; whether
    /// that was possible.
    pub(super) fn hold(&mut self, more: u64) -> bool {
        while self.bytes.saturating_add(more) > self.bound {
            let unused = self.entries.iter().filter(|(_, entry)| entry.is_unused());
            let oldest = unused.min_by_key(|(_, entry)| entry.last_used).map(|(digest, _)| *digest);
            match oldest {
                Some(oldest) => self.remove(&oldest),
                None => return false,
            }
        }
        self.bytes += more;
        true
    }

    /// Gives room back.
    pub(super) const fn release(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }

    /// Bytes that no other component can have.
    fn bytes_in_use(&self) -> u64 {
        let unused = self.entries.values().filter(|entry| entry.is_unused());
        self.bytes - unused.map(|entry| entry.reserved).sum::<u64>()
    }

    /// Forgets the one that nobody has wanted for longest; whether there was one.
    fn forget_one(&mut self) -> bool {
        let unused = self.entries.iter().filter(|(_, entry)| {
            entry.users.is_empty() && matches!(entry.stage, Stage::Ready(_) | Stage::Refused(_))
        });
        let oldest = unused.min_by_key(|(_, entry)| entry.last_used).map(|(digest, _)| *digest);
        oldest.map(|oldest| self.remove(&oldest)).is_some()
    }

    fn remove(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.remove(digest) {
            self.bytes -= entry.reserved;
        }
    }
}
