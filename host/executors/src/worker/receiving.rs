//! Bytes that come to a worker by their digest, and those that are asked of it. What came of bytes that
//! broke off is kept for the next try (`partials`).

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sandmill_transport::message::Goodbye;
use sandmill_wire::Digest;

use super::components::Bring;
use super::config::{PARTIAL_PATIENCE, ROOM_PATIENCE};
use super::shared::Shared;
use super::state::Stage;
use super::worker::Worker;

/// Room that is made at once for bytes that are announced; more as they come.
const FIRST_ROOM: usize = 1 << 20;
/// Bytes that are hashed on the thread they came by; more are hashed where that holds up nobody.
const HASH_HERE: usize = 256 << 10;

/// Bytes on their way to a worker, with room set aside for them. When this goes before it is
/// finished, they are forgotten, or kept for its sender to go on with ([`Receiving::go_on`]).
pub struct Receiving {
    shared: Arc<Shared>,
    digest: Digest,
    size: u64,
    bytes: BytesMut,
    is_component: bool,
    done: bool,
    /// For whom what came is kept.
    kept_for: Option<String>,
}

impl Worker {
    /// Makes room for bytes of that digest and size: a component that was asked for, or a large
    /// argument. None when they are here already and need not be sent. Waits for room, but not
    /// longer than [`ROOM_PATIENCE`].
    ///
    /// # Errors
    /// When they are too large, there is no room, or the worker is going away.
    pub async fn receive(&self, digest: Digest, size: u64) -> Result<Option<Receiving>, Goodbye> {
        let until = tokio::time::Instant::now() + ROOM_PATIENCE;
        loop {
            let changed = self.shared.bells.changed.notified();
            if let Some(begun) = self.begin(digest, size)? {
                return Ok(begun.map(|is_component| Receiving {
                    shared: Arc::clone(&self.shared),
                    digest,
                    size,
                    bytes: BytesMut::with_capacity(
                        usize::try_from(size).unwrap_or(FIRST_ROOM).min(FIRST_ROOM),
                    ),
                    is_component,
                    done: false,
                    kept_for: None,
                }));
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Err(Goodbye::Busy("the worker has no room for these bytes".to_owned()));
            }
        }
    }

    /// None: later. None inside: they are here. Else whether they are a component.
    #[expect(
        clippy::option_option,
        reason = "two answers that end the wait, and one that does not"
    )]
    fn begin(&self, digest: Digest, size: u64) -> Result<Option<Option<bool>>, Goodbye> {
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
        Ok(match state.components.bring(&digest, size) {
            Bring::Take => Some(Some(true)),
            Bring::Held => Some(None),
            Bring::Wait => None,
            Bring::Unwanted if state.values.get(&digest).is_some() => Some(None),
            Bring::Unwanted => {
                let limit = state.values.bound().min(config.ceiling.transfer);
                if size > limit {
                    return too_large(limit);
                }
                state.values.set_aside(size).then_some(Some(false))
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

    /// Takes the next of the bytes.
    ///
    /// # Errors
    /// When they are more than was said.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Goodbye> {
        if (self.bytes.len() + chunk.len()) as u64 > self.size {
            self.kept_for = None;
            let words = format!("more bytes came than the {} that were announced", self.size);
            return Err(Goodbye::Protocol(words));
        }
        self.bytes.extend_from_slice(chunk);
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
        if self.is_component {
            state.received(digest, bytes);
        } else {
            state.values.give_back(self.size);
            state.counters.bytes_in += self.size;
            state.values.keep(digest, bytes);
            // Somebody may have found out meanwhile that it is a component.
            state.fetch(digest);
        }
        drop(state);
        self.shared.bells.changed.notify_waiters();
        Ok(())
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
        if self.is_component {
            state.components.broke_off(&self.digest, Instant::now());
            // It is asked for again after a while.
            state.look_at(Instant::now());
        } else {
            state.values.give_back(self.size);
        }
        drop(state);
        self.shared.bells.changed.notify_waiters();
    }
}
