//! The trace that this command is part of, as whoever started it says in `TRACEPARENT`. What is sent
//! with it is the sandbox's.

use sandmill::core::TraceContext;

/// The variable by which processes hand a trace on, as W3C's header is named.
const VARIABLE: &str = "TRACEPARENT";

/// The trace that the environment names. As W3C asks, what is no `traceparent` is passed over.
pub(crate) fn from_environment() -> Option<TraceContext> {
    std::env::var(VARIABLE).ok()?.parse().ok()
}
