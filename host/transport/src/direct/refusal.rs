//! Goodbyes as gRPC statuses and back, and what else a status can mean.

use bytes::Bytes;
use tonic::{Code, Status};

use super::LinkError;
use super::socket::Trouble;
use crate::frame;
use crate::message::Goodbye;

/// The longest words that a refusal carries, in characters: it travels in headers, which are
/// bounded.
const MAX_WORDS: usize = 1_000;

/// A goodbye as the other side gets it.
pub(super) fn refuse(goodbye: Goodbye) -> Status {
    let goodbye = shortened(goodbye);
    let code = match &goodbye {
        Goodbye::Version { .. } => Code::FailedPrecondition,
        Goodbye::Forbidden(_) => Code::PermissionDenied,
        Goodbye::Busy(_) => Code::ResourceExhausted,
        Goodbye::Leaving(_) => Code::Unavailable,
        Goodbye::Missing(_) => Code::NotFound,
        Goodbye::Protocol(_) => Code::InvalidArgument,
    };
    Status::with_details(code, goodbye.to_string(), frame::encode(&goodbye))
}

fn shortened(goodbye: Goodbye) -> Goodbye {
    let short = |words: String| words.chars().take(MAX_WORDS).collect();
    match goodbye {
        Goodbye::Version { .. } => goodbye,
        Goodbye::Forbidden(words) => Goodbye::Forbidden(short(words)),
        Goodbye::Busy(words) => Goodbye::Busy(short(words)),
        Goodbye::Leaving(words) => Goodbye::Leaving(short(words)),
        Goodbye::Missing(words) => Goodbye::Missing(short(words)),
        Goodbye::Protocol(words) => Goodbye::Protocol(short(words)),
    }
}

/// What a status from the other side means, or from the library where the connection failed.
pub(super) fn understand(status: &Status, trouble: &Trouble) -> LinkError {
    let details: Bytes = Bytes::copy_from_slice(status.details());
    if !details.is_empty() {
        return match frame::decode_goodbye(&details) {
            Ok(goodbye) => LinkError::Refused(goodbye),
            Err(error) => LinkError::Protocol(error.to_string()),
        };
    }
    if let Some(error) = trouble.error() {
        return error;
    }
    match status.code() {
        Code::OutOfRange | Code::Internal if is_too_large(status.message()) => {
            LinkError::Protocol("it sent a frame that is larger than frames may be".to_owned())
        }
        Code::Unimplemented => {
            LinkError::Protocol("what is there does not speak it, or another one".to_owned())
        }
        _ => match words(status) {
            // A reset by whoever dropped its end.
            words if words.contains("stream no longer needed") => {
                LinkError::Lost("the other side left without a goodbye".to_owned())
            }
            words => LinkError::Lost(words),
        },
    }
}

/// Whether the words are those of tonic for a message over the limit.
pub(super) fn is_too_large(message: &str) -> bool {
    message.contains("message length too large")
}

/// The words of a status, with those of what caused it.
pub(super) fn words(status: &Status) -> String {
    let mut words = match status.message() {
        "" => status.code().description().to_lowercase(),
        message => message.to_owned(),
    };
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let more = cause.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = cause.source();
    }
    words.chars().take(MAX_WORDS).collect()
}
