//! The trace that a run is part of, as W3C's Trace Context (level 1) writes it, so that what runs do
//! elsewhere can be seen together with whatever they were started by. Spans are collected by others.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use sandmill_wire::RunId;
use serde::{Deserialize, Serialize};

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flag that says that the trace is kept somewhere.
const SAMPLED: u8 = 1;

/// A `traceparent`: a trace, and the part of it below which a run is.
/// Source: <https://www.w3.org/TR/trace-context-1/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext {
    trace: NonZeroU128,
    parent: NonZeroU64,
    flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no W3C traceparent: 00-TRACE-PARENT-FLAGS, of 32, 16 and 2 lowercase hexadecimal digits, is one"
)]
pub struct TraceContextError;

impl TraceContext {
    /// The trace of a flow run that nobody has put into one: it has the flow run's id.
    #[must_use]
    pub fn of_flow(run: RunId) -> Self {
        let id = run.as_uuid().as_u128();
        let trace = NonZeroU128::new(id).unwrap_or(NonZeroU128::MIN);
        Self { trace, parent: span_of(run), flags: SAMPLED }
    }

    /// The same trace, below this run.
    #[must_use]
    pub fn below(self, run: RunId) -> Self {
        Self { parent: span_of(run), ..self }
    }
}

/// The span that a run is: the half of its id that is random.
fn span_of(run: RunId) -> NonZeroU64 {
    let (_, low) = run.as_uuid().as_u64_pair();
    NonZeroU64::new(low).unwrap_or(NonZeroU64::MIN)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    /// Reads a `traceparent`. Of later versions, only what this one knows is read, as W3C asks.
    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let is_hex =
            |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let known = text.get(..LENGTH).ok_or(TraceContextError)?;
        let parts: Vec<&str> = known.split('-').collect();
        let [version, trace, parent, flags] = parts[..] else { return Err(TraceContextError) };
        let fits = [version, trace, parent, flags].map(str::len) == [2, 32, 16, 2]
            && parts.iter().all(|part| is_hex(part));
        let ends = match version {
            "00" => text.len() == LENGTH,
            "ff" => false,
            _ => matches!(text.as_bytes().get(LENGTH), None | Some(b'-')),
        };
        if !fits || !ends {
            return Err(TraceContextError);
        }
        let number = |text| u128::from_str_radix(text, 16).map_err(|_| TraceContextError);
        let [trace, parent, flags] = [number(trace)?, number(parent)?, number(flags)?];
        let parent = u64::try_from(parent).ok().and_then(NonZeroU64::new);
        Ok(Self {
            trace: NonZeroU128::new(trace).ok_or(TraceContextError)?,
            parent: parent.ok_or(TraceContextError)?,
            flags: u8::try_from(flags).map_err(|_| TraceContextError)?,
        })
    }
}

impl TryFrom<String> for TraceContext {
    type Error = TraceContextError;

    fn try_from(text: String) -> Result<Self, TraceContextError> {
        text.parse()
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> Self {
        context.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_again() {
        assert_eq!(GOOD.parse::<TraceContext>().unwrap().to_string(), GOOD);
        // A later version is read as far as it is known, and written as this one.
        let later = format!("cc{}-what-the-future-will-be", &GOOD[2..]);
        assert_eq!(later.parse::<TraceContext>().unwrap().to_string(), GOOD);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let zero_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let bad = [
            "".to_owned(),
            "x".repeat(55),
            "é".repeat(40),
            GOOD.to_uppercase(),
            format!("{GOOD}-more"),
            format!("ff{}", &GOOD[2..]),
            format!("cc{}x", &GOOD[2..]),
            GOOD.replace('-', "_"),
            GOOD.replace("01", "+1"),
            zero_trace.to_owned(),
            zero_parent.to_owned(),
        ];
        for text in bad {
            assert_eq!(text.parse::<TraceContext>(), Err(TraceContextError), "{text}");
        }
    }

    #[test]
    fn a_run_is_a_span_of_the_trace_it_is_in() {
        let (flow, run) = (RunId::new(), RunId::new());
        let context = TraceContext::of_flow(flow);
        let id = flow.to_string().replace('-', "");
        assert!(context.to_string().starts_with(&format!("00-{id}-{}", &id[16..])), "{context}");
        let below = context.below(run).to_string();
        let run = run.to_string().replace('-', "");
        assert_eq!(below, format!("00-{id}-{}-01", &run[16..]));
    }
}
