//! What a worker says of how a run ended, as a report: bounded and checked, since a worker may be
//! another's.

use bytes::Bytes;
use sandmill_core::units::format_size;
use sandmill_core::{Limits, Report, Usage};
use sandmill_transport::message::{Ending, Payload, RunReport};
use sandmill_wire::{Bounds, Digest, End, EndKind, Failure, Outcome, Value};

use super::outbox::Fetch;
use super::way::WayError;

/// Bytes that a failure may have beyond the limit of results: its words.
const FAILURE_WORDS: u64 = 1 << 20;

/// A report, or what has to be got for it.
pub(in crate::remote) enum Answer {
    Report(Report),
    Fetch(Fetch),
}

/// What comes of a worker's report of a run with these limits.
pub(in crate::remote) fn answer(report: RunReport, limits: &Limits) -> Answer {
    let RunReport { of, ending, usage } = report;
    let (payload, is_failure) = match ending {
        Ending::Value(payload) => (payload, false),
        Ending::LargeFailure(payload) => (payload, true),
        Ending::Failure(failure) => {
            return Answer::Report(Report::new(Outcome::Failure(failure), usage));
        }
        Ending::Ended(end) => return Answer::Report(Report::new(end.into(), usage)),
    };
    let limit = limit_of(limits, is_failure);
    if payload.size() > limit {
        return Answer::Report(Report::new(too_large(payload.size(), limit).into(), usage));
    }
    match payload {
        Payload::Inline(bytes) => Answer::Report(of_bytes(bytes, is_failure, usage)),
        Payload::Blob { digest, .. } => {
            Answer::Fetch(Fetch { of, digest, usage, is_failure, limit })
        }
    }
}

/// The report once its bytes were got, or could not be.
pub(in crate::remote) fn fetched(fetch: &Fetch, got: Result<Bytes, WayError>) -> Report {
    match got {
        Ok(bytes) if bytes.len() as u64 > fetch.limit => {
            Report::new(too_large(bytes.len() as u64, fetch.limit).into(), fetch.usage)
        }
        // Carried by others: what it is has to be seen here.
        Ok(bytes) if Digest::of(&bytes) != fetch.digest => {
            host_error("the result that came is not the one that was reported", fetch.usage)
        }
        Ok(bytes) => of_bytes(bytes, fetch.is_failure, fetch.usage),
        Err(error) => host_error(&format!("the result could not be got: {error}"), fetch.usage),
    }
}

fn limit_of(limits: &Limits, is_failure: bool) -> u64 {
    limits.output.saturating_add(if is_failure { FAILURE_WORDS } else { 0 })
}

fn too_large(size: u64, limit: u64) -> End {
    let words =
        format!("the result has {}, the limit is {}", format_size(size), format_size(limit));
    End::new(EndKind::OutputTooLarge, words)
}

fn of_bytes(bytes: Bytes, is_failure: bool, usage: Usage) -> Report {
    if is_failure {
        return match rmp_serde::from_slice::<Failure>(&bytes) {
            Ok(failure) => Report::new(Outcome::Failure(failure), usage),
            Err(error) => host_error(&format!("the failure cannot be read: {error}"), usage),
        };
    }
    let bounds = Bounds { max_bytes: usize::MAX, ..Bounds::DEFAULT };
    let outcome = match Value::check(bytes, &bounds) {
        Ok(value) => Outcome::Value(value),
        Err(error) => {
            let words = format!("the result is not MessagePack: {error}");
            End::new(EndKind::InvalidResult, words).into()
        }
    };
    Report::new(outcome, usage)
}

fn host_error(words: &str, usage: Usage) -> Report {
    Report::new(End::new(EndKind::HostError, words).into(), usage)
}
