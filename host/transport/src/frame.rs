//! Frames of the link's long stream: messages one after the other, each a MessagePack value by
//! field name. What is small shares a frame, what is long is split. Sending frames is for `direct`.

use std::collections::VecDeque;
use std::io::Cursor;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use crate::MAX_FRAME;
use crate::message::{FromWorker, Goodbye, Hello, ToWorker, Welcome, WorkerStatusReport};
use crate::message::{MAX_LABELS, MAX_RESOURCES};

/// How deep values may be nested in a frame: what a task's value may be, and the messages' own.
const MAX_DEPTH: usize = 80;

/// Bytes that are not the messages they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FrameError(String);

impl FrameError {
    fn new(what: &str, why: &impl std::fmt::Display) -> Self {
        // Words of a decoder may hold what the other side sent.
        let why: String = why.to_string().chars().take(200).collect();
        Self(format!("{what} that cannot be read: {why}"))
    }
}

/// The messages of a frame from a worker. For any bytes it gives messages or an error, in time and
/// memory that grow with the bytes only.
///
/// # Errors
/// Why they are not messages.
pub fn decode_from_worker(frame: &[u8]) -> Result<Vec<FromWorker>, FrameError> {
    decode_all(frame)
}

/// The messages of a frame to a worker. See [`decode_from_worker`].
///
/// # Errors
/// Why they are not messages.
pub fn decode_to_worker(frame: &[u8]) -> Result<Vec<ToWorker>, FrameError> {
    decode_all(frame)
}

/// A message as it travels: a MessagePack value by field name.
///
/// # Panics
/// Never: messages are plain data, which always can be written.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    rmp_serde::to_vec_named(message).expect("plain data can be written to memory").into()
}

/// The hello that these bytes are.
///
/// # Errors
/// Why they are not.
pub fn decode_hello(bytes: &[u8]) -> Result<Hello, FrameError> {
    decode_one("a hello", bytes)
}

/// The welcome that these bytes are, within the limits of one.
///
/// # Errors
/// Why they are not.
pub fn decode_welcome(bytes: &[u8]) -> Result<Welcome, FrameError> {
    let welcome: Welcome = decode_one("a welcome", bytes)?;
    if welcome.labels.len() > MAX_LABELS || welcome.resources.len() > MAX_RESOURCES {
        return Err(FrameError(format!(
            "a welcome with more than {MAX_LABELS} labels or {MAX_RESOURCES} kinds of resources"
        )));
    }
    Ok(welcome)
}

/// The report of how a worker stands that these bytes are, within the limits of one.
///
/// # Errors
/// Why they are not.
pub fn decode_status(bytes: &[u8]) -> Result<WorkerStatusReport, FrameError> {
    let status: WorkerStatusReport = decode_one("a status", bytes)?;
    if status.labels.len() > MAX_LABELS || status.resources.len() > MAX_RESOURCES {
        return Err(FrameError(format!(
            "a status with more than {MAX_LABELS} labels or {MAX_RESOURCES} kinds of resources"
        )));
    }
    Ok(status)
}

/// The goodbye that these bytes are.
pub(crate) fn decode_goodbye(bytes: &[u8]) -> Result<Goodbye, FrameError> {
    decode_one("a goodbye", bytes)
}

fn decode_one<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, FrameError> {
    let (value, length) = decode_next(what, bytes)?;
    if length != bytes.len() {
        return Err(FrameError::new(what, &"there is something after it"));
    }
    Ok(value)
}

fn decode_next<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<(T, usize), FrameError> {
    let mut decoder = rmp_serde::Deserializer::new(Cursor::new(bytes));
    decoder.set_max_depth(MAX_DEPTH);
    let value = T::deserialize(&mut decoder).map_err(|error| FrameError::new(what, &error))?;
    let length = usize::try_from(decoder.position()).unwrap_or(usize::MAX).min(bytes.len());
    Ok((value, length))
}

fn decode_all<T: Batched>(frame: &[u8]) -> Result<Vec<T>, FrameError> {
    let mut messages: Vec<T> = Vec::new();
    let mut rest = frame;
    while !rest.is_empty() {
        let (message, length) = decode_next::<T>("a message", rest)?;
        rest = &rest[length.max(1).min(rest.len())..];
        if message.is_empty() {
            continue;
        }
        let apart = match messages.last_mut() {
            Some(last) => last.merge(message),
            None => Some(message),
        };
        messages.extend(apart);
    }
    Ok(messages)
}

/// A message that may hold several items of a kind.
pub(crate) trait Batched: Serialize + DeserializeOwned + Sized {
    /// Takes another message into this one, or gives it back if it is of another kind.
    fn merge(&mut self, other: Self) -> Option<Self>;
    /// Takes half of its items out of it; none if it cannot be split.
    fn split(&mut self) -> Option<Self>;
    /// Whether it says nothing.
    fn is_empty(&self) -> bool;
}

fn halve<T>(items: &mut Vec<T>) -> Option<Vec<T>> {
    (items.len() > 1).then(|| items.split_off(items.len() / 2))
}

macro_rules! batched {
    ($message:ident: $($list:ident)*; $beat:pat) => {
        impl Batched for $message {
            fn merge(&mut self, other: Self) -> Option<Self> {
                match (&mut *self, other) {
                    $((Self::$list(items), Self::$list(more)) => {
                        items.extend(more);
                        None
                    })*
                    // The last one says how things are.
                    (mine @ $beat, other @ $beat) => {
                        *mine = other;
                        None
                    }
                    (_, other) => Some(other),
                }
            }

            fn split(&mut self) -> Option<Self> {
                match self {
                    $(Self::$list(items) => halve(items).map(Self::$list),)*
                    _ => None,
                }
            }

            fn is_empty(&self) -> bool {
                match self {
                    $(Self::$list(items) => items.is_empty(),)*
                    _ => false,
                }
            }
        }
    };
}

batched!(ToWorker: Specs Orders Cancel Recall Settled; ToWorker::Heartbeat);
batched!(FromWorker: Notes Ended HandBack; FromWorker::Heartbeat(_));

/// A message in pieces of which each fits a frame.
///
/// # Errors
/// The part of it, of one item, that does not fit, and its size.
pub(crate) fn pieces<T: Batched>(message: T) -> Result<Vec<Bytes>, Box<(T, usize)>> {
    let mut done = Vec::with_capacity(1);
    let mut open = vec![message];
    while let Some(mut message) = open.pop() {
        if message.is_empty() {
            continue;
        }
        let bytes = encode(&message);
        if bytes.len() <= MAX_FRAME {
            done.push(bytes);
        } else if let Some(second) = message.split() {
            open.push(second);
            open.push(message);
        } else {
            return Err(Box::new((message, bytes.len())));
        }
    }
    Ok(done)
}

/// Pieces that wait to be sent, put into as few frames as they need.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Batch {
    /// Adds a piece, which fits a frame.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// Whether a frame's worth waits, so that there is no use in looking for more.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= MAX_FRAME
    }

    /// The next frame.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let first = self.pieces.pop_front()?;
        let mut length = first.len();
        let more = self
            .pieces
            .iter()
            .take_while(|piece| {
                length += piece.len();
                length <= MAX_FRAME
            })
            .count();
        if more == 0 {
            self.bytes -= first.len();
            return Some(first);
        }
        let mut frame = BytesMut::with_capacity(MAX_FRAME.min(self.bytes));
        frame.put(first);
        for piece in self.pieces.drain(..more) {
            frame.put(piece);
        }
        self.bytes -= frame.len();
        Some(frame.freeze())
    }
}
