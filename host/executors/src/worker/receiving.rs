//! Bytes that come to a worker by their digest, and those that are asked of it. What came of bytes that
//! broke off is kept for the next try (`partials`).

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sandmill_transport::message::Goodbye;
use sandmill_wire::Digest;

use super::components::Bring;
use super::config::{PARTIAL_PATIENCE, ROOM_PATIENCE};
use super::sender::Sender;
use super::shared::Shared;
use super::state::{Stage, State};
use super::worker::Worker;

/// Room that is made at once for bytes that are announced; more as they come.
const FIRST_ROOM: usize = 1 << 20;
/// Bytes that are hashed on the thread they came by; more are hashed where that holds up nobody.
const HASH_HERE: usize = 256 << 10;

/// Room that is taken at a time for bytes on their way.
const ROOM_STEP: u64 = 1 << 20;

/// Bytes on their way to a worker, which take room as they come. When this goes before it is
/// finished, they are forgotten, or kept for its sender to go on with ([`Receiving::go_on`]).
pub struct Receiving {
    shared: Arc<Shared>,
    digest: Digest,
    size: u64,
    bytes: BytesMut,
    /// The room that they have.
    held: u64,
    way: Way,
    done: bool,
    /// For whom what came is kept.
    kept_for: Option<String>,
}

/// Which of the worker's room bytes take.
enum Way {
    /// That of components.
    Component(Sender),
    /// That of values: who sends it, and its number among those on their way.
    Value(String, u64),
}

impl Worker {
    /// Makes room for bytes of that digest and size: a component that was asked for, or a large
    /// argument. None when they are here already and need not be sent. Waits for room, but not
    /// longer than [`ROOM_PATIENCE`].
    ///
    /// # Errors
    /// When they are too large, there is no room, or the worker is going away.
    pub async fn receive(&self, digest: Digest, size: u64) -> Result<Option<Receiving>, Goodbye> {
        self.receive_from("", digest, size).await
    }

    /// The same from a side that has its share of the room. `peer` is who that is by the link's word.
    ///
    /// # Errors
    /// The same.
    pub async fn receive_from(
        &self,
        peer: &str,
        digest: Digest,
        size: u64,
    ) -> Result<Option<Receiving>, Goodbye> {
        let until = tokio::time::Instant::now() + ROOM_PATIENCE;
        loop {
            let changed = self.shared.bells.changed.notified();
            if let Some(begun) = self.begin(peer, digest, size)? {
                return Ok(begun.map(|way| Receiving {
                    shared: Arc::clone(&self.shared),
                    digest,
                    size,
                    bytes: BytesMut::with_capacity(
                        usize::try_from(size).unwrap_or(FIRST_ROOM).min(FIRST_ROOM),
                    ),
                    held: size.min(ROOM_STEP),
                    way,
                    done: false,
                    kept_for: None,
                }));
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Err(Goodbye::Busy("the worker has no room for these bytes".to_owned()));
            }
        }
    }

    /// None: later. None inside: they are here.
    #[expect(
        clippy::option_option,
        reason = "two answers that end the wait, and one that does not"
    )]
    fn begin(&self, peer: &str, digest: Digest, size: u64) -> Result<Option<Option<Way>>, Goodbye> {
        let mut state = self.shared.state.lock();
        if state.stage != Stage::Open {
            return Err(Goodbye::Leaving("the worker is going away".to_owned()));
        }
        let config = &self.shared.config;
        let too_large = |limit| {
            let words = format!("{size} bytes are more than this worker takes: {limit}");
            Err(Goodbye::Forbidden(words))
        };
        if state.components.is_missing(&digest) {
            let limit = config.component_bytes.min(config.components_bytes);
            if size > limit {
                return too_large(limit);
            }
        }
        let (first, now) = (size.min(ROOM_STEP), Instant::now());
        Ok(match state.components.bring(&digest, first, now, config.need_patience) {
            Bring::Take(sender) => {
                // Should it be slow, others are asked.
                state.look_at(now + config.need_patience);
                Some(Some(Way::Component(sender)))
            }
            Bring::Held => Some(None),
            Bring::Wait => None,
            Bring::Unwanted if state.values.get(&digest).is_some() => Some(None),
            Bring::Unwanted => {
                let limit = state.values.bound().min(config.ceiling.transfer);
                if size > limit {
                    return too_large(limit);
                }
                let number = state.values.begin(peer, size, first);
                number.map(|number| Some(Way::Value(peer.to_owned(), number)))
            }
        })
    }

    /// The bytes of that digest, if they are a result that is not settled, or a large argument that
    /// is kept.
    #[must_use]
    pub fn bytes_of(&self, digest: &Digest) -> Option<Bytes> {
        let mut state = self.shared.state.lock();
        let bytes = state.results.get(digest).or_else(|| state.values.get(digest))?;
        state.counters.bytes_out += bytes.len() as u64;
        Some(bytes)
    }
}

impl Receiving {
    /// Goes on where the same side's last try broke off, if it did; the bytes that came of that. From
    /// now on what comes is kept for it, for [`PARTIAL_PATIENCE`](super::PARTIAL_PATIENCE), where it
    /// breaks off again. `peer` is who that is by the link's word.
    pub fn go_on(&mut self, peer: &str) -> &[u8] {
        let kept = self.shared.state.lock().partials.take(peer, self.digest, self.size);
        self.bytes = kept.unwrap_or_else(|| std::mem::take(&mut self.bytes));
        self.kept_for = Some(peer.to_owned());
        &self.bytes
    }

    /// Lets go of what came, which is not what it was said to be.
    pub fn forget(mut self) {
        self.kept_for = None;
    }

    /// Ready when they need not go on: others have brought them, or take their place.
    pub(super) fn is_over(&self) -> impl Future<Output = ()> + use<> {
        let sender = match &self.way {
            Way::Component(sender) => Some(sender.clone()),
            Way::Value(..) => None,
        };
        async move {
            match sender {
                Some(sender) => sender.is_over().await,
                None => std::future::pending().await,
            }
        }
    }

    /// Why they need not go on, where they are not here. Then what came is kept, if it may be.
    pub(super) fn over(self) -> Result<(), Goodbye> {
        if self.shared.state.lock().components.is_missing(&self.digest) {
            return Err(Goodbye::Busy("others bring it faster".to_owned()));
        }
        self.forget();
        Ok(())
    }

    /// Waits for room for so many more bytes, but not longer than [`ROOM_PATIENCE`].
    ///
    /// # Errors
    /// When there is none.
    pub async fn room_for(&mut self, more: usize) -> Result<(), Goodbye> {
        let until = tokio::time::Instant::now() + ROOM_PATIENCE;
        let shared = Arc::clone(&self.shared);
        loop {
            let changed = shared.bells.changed.notified();
            if self.hold(more) {
                return Ok(());
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Err(Goodbye::Busy("the worker has no room for these bytes".to_owned()));
            }
        }
    }

    /// Takes room for so many more bytes; whether there is any.
    fn hold(&mut self, more: usize) -> bool {
        let needed = ((self.bytes.len() + more) as u64).min(self.size);
        if needed <= self.held {
            return true;
        }
        let more = needed.max(self.held + ROOM_STEP).min(self.size) - self.held;
        let mut state = self.shared.state.lock();
        let held = match &self.way {
            Way::Component(_) => state.components.hold(more),
            Way::Value(..) => state.values.hold(more),
        };
        drop(state);
        if held {
            self.held += more;
        }
        held
    }

    /// Takes the next of the bytes. Where they may have to wait for room, [`Self::room_for`] is called
    /// before.
    ///
    /// # Errors
    /// When they are more than was said, or there is no room.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Goodbye> {
        if (self.bytes.len() + chunk.len()) as u64 > self.size {
            self.kept_for = None;
            let words = format!("more bytes came than the {} that were announced", self.size);
            return Err(Goodbye::Protocol(words));
        }
        if !self.hold(chunk.len()) {
            return Err(Goodbye::Busy("the worker has no room for these bytes".to_owned()));
        }
        self.bytes.extend_from_slice(chunk);
        if let Way::Component(sender) = &self.way {
            sender.has(self.bytes.len() as u64);
        }
        Ok(())
    }

    /// Takes the bytes, if they are all there and what they were said to be.
    ///
    /// # Errors
    /// When they are not.
    pub async fn finish(mut self) -> Result<(), Goodbye> {
        if self.bytes.len() as u64 != self.size {
            let (came, size) = (self.bytes.len(), self.size);
            return Err(Goodbye::Protocol(format!("{came} bytes came of {size}")));
        }
        let bytes = std::mem::take(&mut self.bytes).freeze();
        let digest = if bytes.len() <= HASH_HERE {
            Digest::of(&bytes)
        } else {
            let own = bytes.clone();
            tokio::task::spawn_blocking(move || Digest::of(&own))
                .await
                .map_err(|_| Goodbye::Leaving("the worker is going away".to_owned()))?
        };
        if digest != self.digest {
            let words = format!("bytes of {digest} came as those of {}", self.digest);
            return Err(Goodbye::Protocol(words));
        }
        self.done = true;
        let mut state = self.shared.state.lock();
        self.release(&mut state);
        if matches!(self.way, Way::Component(_)) {
            state.received(digest, bytes);
        } else {
            state.counters.bytes_in += self.size;
            state.values.keep(digest, bytes);
            // Somebody may have found out meanwhile that it is a component.
            state.fetch(digest);
        }
        drop(state);
        self.shared.bells.changed.notify_waiters();
        Ok(())
    }

    /// Gives the room back.
    fn release(&self, state: &mut State) {
        match &self.way {
            Way::Component(_) => state.components.release(self.held),
            Way::Value(peer, number) => state.values.end(peer, *number, self.held),
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let mut state = self.shared.state.lock();
        if let Some(peer) = self.kept_for.take() {
            let now = Instant::now();
            state.partials.keep(peer, (self.digest, self.size), bytes, now);
            state.look_at(now + PARTIAL_PATIENCE);
        }
        self.release(&mut state);
        if let Way::Component(sender) = &self.way {
            state.components.broke_off(&self.digest, sender, Instant::now());
            // It is asked for again after a while.
            state.look_at(Instant::now());
        }
        drop(state);
        self.shared.bells.changed.notify_waiters();
    }
}
