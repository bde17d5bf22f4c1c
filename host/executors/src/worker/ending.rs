//! A report as it travels: in the message where it is small, else by digest.

use bytes::Bytes;
use sandmill_transport::message::{Ending, MAX_INLINE, Payload};
use sandmill_wire::{Digest, End, EndKind, Outcome};

use super::config::MAX_REFUSAL_BYTES;

/// Bytes of an end's message, and of its backtrace together, that travel; the rest is left out.
const MAX_WORDS_BYTES: usize = 64 << 10;

/// An ending, with the bytes that have to be kept for whoever asks for them by digest.
pub(super) struct Wrapped {
    pub(super) ending: Ending,
    pub(super) blob: Option<Bytes>,
}

/// Makes an outcome ready to travel.
pub(super) fn wrap(outcome: Outcome) -> Wrapped {
    match outcome {
        Outcome::Value(value) => {
            let (payload, blob) = by_size(value.into_bytes());
            Wrapped { ending: Ending::Value(payload), blob }
        }
        Outcome::Failure(failure) => {
            let details = failure.details.as_ref().map_or(0, |details| details.len_bytes());
            if details + failure.message.len() + failure.kind.len() <= MAX_INLINE {
                return Wrapped { ending: Ending::Failure(failure), blob: None };
            }
            match rmp_serde::to_vec_named(&failure) {
                Ok(bytes) => {
                    let (payload, blob) = by_size(bytes.into());
                    Wrapped { ending: Ending::LargeFailure(payload), blob }
                }
                Err(error) => {
                    let words = format!("the failure could not be encoded: {error}");
                    wrap(End::new(EndKind::HostError, words).into())
                }
            }
        }
        Outcome::Ended(end) => Wrapped { ending: Ending::Ended(cut(end)), blob: None },
    }
}

fn by_size(bytes: Bytes) -> (Payload, Option<Bytes>) {
    let payload = Payload::of(&bytes);
    let blob = matches!(payload, Payload::Blob { .. }).then_some(bytes);
    (payload, blob)
}

/// Leaves out of an end's words what would not fit a message.
fn cut(end: End) -> End {
    cut_to(end, MAX_WORDS_BYTES)
}

/// Leaves out of a refusal's words what nobody needs: one may be said of thousands of runs.
pub(super) fn cut_refusal(end: End) -> End {
    cut_to(end, MAX_REFUSAL_BYTES)
}

fn cut_to(mut end: End, most: usize) -> End {
    if end.message.len() > most {
        end.message.truncate(end.message.floor_char_boundary(most));
        end.message.push('…');
    }
    let mut bytes = 0;
    let fits = end.backtrace.iter().take_while(|frame| {
        bytes += frame.len() + 5;
        bytes <= most
    });
    let count = fits.count();
    end.backtrace.truncate(count);
    end
}

/// The word for an ending: `value`, `failure`, or the name of an end's kind.
pub(super) const fn name_of(ending: &Ending) -> &'static str {
    match ending {
        Ending::Value(_) => "value",
        Ending::Failure(_) | Ending::LargeFailure(_) => "failure",
        Ending::Ended(end) => end.kind.name(),
    }
}

/// The digest by which what it carries goes, where it does.
pub(super) const fn digest_of(ending: &Ending) -> Option<Digest> {
    match ending {
        Ending::Value(Payload::Blob { digest, .. })
        | Ending::LargeFailure(Payload::Blob { digest, .. }) => Some(*digest),
        _ => None,
    }
}

/// How many bytes a kept report takes.
pub(super) fn size_of(wrapped: &Wrapped) -> u64 {
    const BASE: u64 = 256;
    let words = match &wrapped.ending {
        Ending::Value(payload) | Ending::LargeFailure(payload) => payload.size(),
        Ending::Failure(failure) => {
            let details = failure.details.as_ref().map_or(0, |details| details.len_bytes());
            (failure.message.len() + details) as u64
        }
        Ending::Ended(end) => {
            (end.message.len() + end.backtrace.iter().map(String::len).sum::<usize>()) as u64
        }
    };
    BASE + words
}

/// Whether the same attempt, ordered again by a coordinator that came back, would end like this:
/// not when it was stopped from outside, or never made.
pub(super) const fn is_answer(ending: &Ending, started: bool) -> bool {
    match ending {
        Ending::Value(_) | Ending::Failure(_) | Ending::LargeFailure(_) => true,
        Ending::Ended(end) => {
            started
                && !matches!(
                    end.kind,
                    EndKind::Cancelled | EndKind::HostError | EndKind::HostLost | EndKind::Refused
                )
        }
    }
}
