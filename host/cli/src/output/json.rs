//! The JSON forms that several commands share. Their field names are stable; `docs/schemas/` has
//! a JSON Schema for each document they are part of.

use sandmill::core::Timestamp;
use sandmill::{EndKind, Outcome, State, TrapKind, Value};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// How a run ended, without its value.
#[derive(Debug, Serialize)]
pub(crate) struct OutcomeJson<'a> {
    /// `value`, `failure`, or the kind of end: `trapped`, `timed-out`, ….
    kind: &'static str,
    /// What happened, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// Whether another try of the same call may end otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    retriable: Option<bool>,
    /// The kind of failure, by the author's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    /// What else the author says of the failure.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_raw")]
    details: Option<&'a Value>,
    /// What made the guest trap.
    #[serde(skip_serializing_if = "Option::is_none")]
    trap: Option<&'static str>,
    /// The code with which the guest ended itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// Where the guest was, innermost frame first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    backtrace: &'a [String],
}

impl<'a> OutcomeJson<'a> {
    /// The form of this outcome.
    pub(crate) fn of(outcome: &'a Outcome) -> Self {
        let base = Self {
            kind: outcome.name(),
            message: None,
            retriable: None,
            failure: None,
            details: None,
            trap: None,
            exit_code: None,
            backtrace: &[],
        };
        match outcome {
            Outcome::Value(_) => base,
            Outcome::Failure(failure) => Self {
                message: Some(&failure.message),
                retriable: Some(failure.retriable),
                failure: Some(&failure.kind),
                details: failure.details.as_ref(),
                ..base
            },
            Outcome::Ended(end) => {
                let trap = if let EndKind::Trapped(trap) = end.kind { Some(trap) } else { None };
                Self {
                    message: Some(&end.message),
                    retriable: Some(end.kind.is_retriable()),
                    trap: trap.map(TrapKind::name),
                    exit_code: match trap {
                        Some(TrapKind::Exit(code)) => Some(code),
                        _ => None,
                    },
                    backtrace: &end.backtrace,
                    ..base
                }
            }
        }
    }
}

/// Where a run stands.
#[derive(Debug, Serialize)]
pub(crate) struct StateJson {
    r#type: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Microseconds since 1970-01-01 UTC.
    at_micros: u64,
}

impl StateJson {
    /// The form of this state.
    pub(crate) fn of(state: &State) -> Self {
        Self {
            r#type: state.kind.name(),
            name: state.name.to_string(),
            message: state.message.as_ref().map(ToString::to_string),
            at_micros: Timestamp::as_micros(state.at),
        }
    }
}

/// Writes a value in its JSON form, as part of a larger document.
pub(crate) fn raw<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(value.to_json_string()).map_err(S::Error::custom)?.serialize(serializer)
}

/// Writes a value that there may be.
pub(crate) fn optional_raw<S: Serializer>(
    value: &Option<&Value>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => raw(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandmill::{End, Failure};

    fn json(outcome: &Outcome) -> String {
        serde_json::to_string(&OutcomeJson::of(outcome)).expect("it has a JSON form")
    }

    #[test]
    fn outcomes_have_one_form() {
        let value = Value::from_json_str("{\"a\":[1,2.5]}").expect("it is JSON");
        assert_eq!(json(&Outcome::Value(value.clone())), r#"{"kind":"value"}"#);
        let failure = Failure { details: Some(value), ..Failure::new("bad", "it is bad") };
        assert_eq!(
            json(&Outcome::Failure(failure)),
            r#"{"kind":"failure","message":"it is bad","retriable":false,"failure":"bad","details":{"a":[1,2.5]}}"#
        );
        let mut end = End::new(EndKind::Trapped(TrapKind::Exit(3)), "it left");
        end.backtrace = vec!["main".to_owned()];
        assert_eq!(
            json(&end.into()),
            r#"{"kind":"trapped","message":"it left","retriable":false,"trap":"exit","exit_code":3,"backtrace":["main"]}"#
        );
    }
}
