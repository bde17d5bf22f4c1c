//! The components that a worker has, waits for, or cannot have. Plain state: who asks, sends and
//! compiles is in `state`, `receiving` and `prepare`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_core::Component;
use sandmill_wire::{Digest, End, EndKind};
use uuid::Uuid;

use super::config::MAX_COMPONENTS;

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
    /// Before then nobody is asked.
    not_before: Option<Instant>,
    /// Whether it is on its way.
    receiving: bool,
}

struct Entry {
    size: u64,
    stage: Stage,
    /// Bytes that are taken or set aside for it.
    reserved: u64,
    /// How many runs that have not ended want it, by session.
    users: BTreeMap<Uuid, usize>,
    last_used: u64,
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
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bring {
    /// Take them.
    Take,
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
        let idle = matches!(&entry.stage, Stage::Missing(missing) if !missing.receiving);
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

    /// Whether it is wanted, not here, and nobody brings it.
    pub(super) fn is_missing(&self, digest: &Digest) -> bool {
        let entry = self.entries.get(digest);
        entry.is_some_and(|entry| matches!(&entry.stage, Stage::Missing(m) if !m.receiving))
    }

    /// What is to be done with bytes of it that somebody brings; sets room aside for them.
    pub(super) fn bring(&mut self, digest: &Digest, size: u64) -> Bring {
        match self.entries.get(digest).map(|entry| &entry.stage) {
            None | Some(Stage::Refused(_)) => return Bring::Unwanted,
            Some(Stage::Preparing | Stage::Ready(_)) => return Bring::Held,
            Some(Stage::Missing(missing)) if missing.receiving => return Bring::Wait,
            Some(Stage::Missing(_)) => {}
        }
        if !self.set_aside(digest, size) {
            return Bring::Wait;
        }
        if let Some(Entry { stage: Stage::Missing(missing), .. }) = self.entries.get_mut(digest) {
            missing.receiving = true;
        }
        Bring::Take
    }

    /// Forgets bytes that did not come whole.
    pub(super) fn broke_off(&mut self, digest: &Digest, now: Instant) {
        let Some(entry) = self.entries.get_mut(digest) else { return };
        if let Stage::Missing(missing) = &mut entry.stage {
            *missing = Missing { not_before: Some(now + ASK_AGAIN), ..Missing::default() };
            self.bytes -= std::mem::take(&mut entry.reserved);
            if entry.users.is_empty() {
                self.remove(digest);
            }
        }
    }

    /// Takes the bytes that were brought, to be compiled.
    pub(super) fn received(&mut self, digest: Digest, bytes: Bytes) {
        let size = bytes.len() as u64;
        let Some(entry) = self.entries.get_mut(&digest) else { return };
        self.bytes = self.bytes - entry.reserved + size;
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

    /// Whom to ask for what now, and when to look again. `can_answer` says whom to ask at all.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        patience: Duration,
        can_answer: impl Fn(&Uuid) -> bool,
    ) -> (Vec<(Uuid, Digest)>, Option<Instant>) {
        let (mut asks, mut next) = (Vec::new(), None::<Instant>);
        let mut later = |at: Instant| next = Some(next.map_or(at, |next: Instant| next.min(at)));
        let mut due = Vec::new();
        for (digest, entry) in &self.entries {
            let Stage::Missing(missing) = &entry.stage else { continue };
            if missing.receiving {
                continue;
            }
            let asked = missing.asked.map(|(_, at)| at + patience);
            match asked.max(missing.not_before) {
                Some(at) if at > now => later(at),
                _ => due.push(*digest),
            }
        }
        for digest in due {
            let Some(entry) = self.entries.get(&digest) else { continue };
            let Stage::Missing(missing) = &entry.stage else { continue };
            // Another than the one that did not answer, where there is one.
            let last = missing.asked.map(|(session, _)| session);
            let after = entry.users.keys().filter(|&session| Some(*session) > last);
            let asked = after.chain(entry.users.keys()).copied().find(&can_answer);
            let (size, Some(asked)) = (entry.size, asked) else { continue };
            if !self.set_aside(&digest, size) {
                continue;
            }
            if let Some(Entry { stage: Stage::Missing(missing), .. }) =
                self.entries.get_mut(&digest)
            {
                missing.asked = Some((asked, now));
                missing.not_before = None;
                later(now + patience);
                asks.push((asked, digest));
            }
        }
        (asks, next)
    }

    /// Notes that this session cannot answer any more, so that others are asked.
    pub(super) fn unask(&mut self, session: Uuid) {
        for entry in self.entries.values_mut() {
            if let Stage::Missing(missing) = &mut entry.stage
                && !missing.receiving
                && missing.asked.is_some_and(|(asked, _)| asked == session)
            {
                missing.asked = None;
                self.bytes -= std::mem::take(&mut entry.reserved);
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

    /// Bytes that are taken or set aside.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often each was transferred.
    pub(super) const fn transfers(&self) -> &HashMap<Digest, u64> {
        &self.transfers
    }

    /// Sets so many bytes aside for it, and lets others go for them; whether that was possible.
    fn set_aside(&mut self, digest: &Digest, size: u64) -> bool {
        let reserved = self.entries.get(digest).map_or(0, |entry| entry.reserved);
        let more = size.saturating_sub(reserved);
        while self.bytes.saturating_add(more) > self.bound {
            let oldest = self
                .entries
                .iter()
                .filter(|(_, entry)| {
                    entry.users.is_empty() && matches!(entry.stage, Stage::Ready(_))
                })
                .min_by_key(|(_, entry)| entry.last_used)
                .map(|(digest, _)| *digest);
            match oldest {
                Some(oldest) => self.remove(&oldest),
                None => return false,
            }
        }
        if let Some(entry) = self.entries.get_mut(digest) {
            self.bytes = self.bytes - entry.reserved + size;
            entry.reserved = size;
        }
        true
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
