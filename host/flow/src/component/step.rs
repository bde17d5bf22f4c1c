//! One step of a flow component's journal: something that the flow asked for, or what it was told.
//! Writing them down and reading them back is in `tape`.

use std::fmt;

use sandmill_core::{
    FlowArgument, FlowElements, FlowNext, FlowReturnWhen, FlowTarget, FlowWatched, FutureKey,
    StateType, Timestamp,
};
use sandmill_wire::{Digest, Value};
use serde::{Deserialize, Serialize};

/// The first bytes of a BLAKE3 digest.
pub(super) type Short = [u8; 16];

pub(super) fn short(bytes: &[u8]) -> Short {
    let mut short = Short::default();
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum FlowStep {
    /// A call or a map was asked for.
    Command(Box<Print>),
    /// A run or a map was to be cancelled.
    Cancelled(FlowWatched),
    /// A map's length; none when it has no runs.
    Length(u32, Option<u64>),
    /// A run's state: type, name and message.
    State(FutureKey, StateType, String, Option<String>),
    /// A wait for a result: whether the run had ended.
    Ended(FutureKey, bool),
    /// A wait for several: a bit for each that had ended.
    Waited(Asked, Vec<u8>),
    /// The next of a watched set, and for how many nanoseconds the set was waited for so far.
    Next(u32, Answer, u64),
    /// A sleep of so many nanoseconds, and when it is over.
    Sleep(u64, Timestamp),
}

/// What a command asks for, without the values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Print {
    /// Whether it is a map.
    mapped: bool,
    /// The flow's name for the component.
    component: Option<String>,
    /// The component; none when there is none of that name.
    digest: Option<Digest>,
    task: String,
    /// Digest of the options.
    options: Short,
    each: Vec<(String, ValuePrint)>,
    same: Vec<(String, ValuePrint)>,
}

/// The value of a parameter, without the value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum ValuePrint {
    /// Its digest, and how many elements it has.
    Value(Short, Option<u64>),
    Result(FutureKey),
    Results(u32),
}

/// What was waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Digest of the runs.
    keys: Short,
    count: u64,
    until: FlowReturnWhen,
}

/// [`FlowNext`] as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Completed(FutureKey, u32),
    Exhausted,
    Timeout(u64, u64),
}

impl From<FlowNext> for Answer {
    fn from(next: FlowNext) -> Self {
        match next {
            FlowNext::Completed { key, source } => Self::Completed(key, source),
            FlowNext::Exhausted => Self::Exhausted,
            FlowNext::Timeout { unfinished, total } => Self::Timeout(unfinished, total),
        }
    }
}

impl From<Answer> for FlowNext {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Completed(key, source) => Self::Completed { key, source },
            Answer::Exhausted => Self::Exhausted,
            Answer::Timeout(unfinished, total) => Self::Timeout { unfinished, total },
        }
    }
}

fn value_print(value: &Value) -> ValuePrint {
    ValuePrint::Value(short(value.as_bytes()), value.len().map(|length| length as u64))
}

impl Print {
    /// The print of a call, or of a map where there is something in `each` or `mapped` says so.
    pub(super) fn new(
        target: &FlowTarget,
        digest: Option<Digest>,
        mapped: bool,
        each: &[(String, FlowElements)],
        same: &[(String, FlowArgument)],
    ) -> Self {
        // Options are plain data: there is always an encoding, and if not, it is always missing.
        let options = Value::encode(&target.options).unwrap_or_default();
        let each = each.iter().map(|(name, elements)| {
            let print = match elements {
                FlowElements::Values(value) => value_print(value),
                FlowElements::Result(key) => ValuePrint::Result(*key),
                FlowElements::Results(command) => ValuePrint::Results(*command),
            };
            (name.clone(), print)
        });
        let same = same.iter().map(|(name, argument)| {
            let print = match argument {
                FlowArgument::Value(value) => value_print(value),
                FlowArgument::Result(key) => ValuePrint::Result(*key),
                FlowArgument::Results(command) => ValuePrint::Results(*command),
            };
            (name.clone(), print)
        });
        Self {
            mapped,
            component: target.component.clone(),
            digest,
            task: target.task.clone(),
            options: short(options.canonical().as_bytes()),
            each: each.collect(),
            same: same.collect(),
        }
    }
}

impl Asked {
    pub(super) fn new(keys: &[FutureKey], until: FlowReturnWhen) -> Self {
        let mut hasher = blake3::Hasher::new();
        for key in keys {
            hasher.update(&key.command.to_le_bytes());
            hasher.update(&key.index.unwrap_or(u64::MAX).to_le_bytes());
        }
        let mut short = Short::default();
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self { keys: short, count: keys.len() as u64, until }
    }
}

/// Bits, eight to a byte.
pub(super) fn pack(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8)
        .map(|chunk| {
            chunk.iter().enumerate().fold(0, |byte, (at, bit)| byte | (u8::from(*bit) << at))
        })
        .collect()
}

/// The first `count` bits.
pub(super) fn unpack(bytes: &[u8], count: usize) -> Vec<bool> {
    (0..count).map(|at| bytes.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)).collect()
}

fn key_words(key: &FutureKey) -> String {
    match key.index {
        None => format!("the run of command {}", key.command),
        Some(index) => format!("run {index} of command {}", key.command),
    }
}

fn watched_words(what: &FlowWatched) -> String {
    match what {
        FlowWatched::One(key) => key_words(key),
        FlowWatched::All(command) => format!("the runs of command {command}"),
    }
}

impl fmt::Display for ValuePrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(digest, length) => {
                let digest = u128::from_be_bytes(*digest) >> 96;
                match length {
                    Some(length) => write!(f, "{length} elements of digest {digest:08x}"),
                    None => write!(f, "a value of digest {digest:08x}"),
                }
            }
            Self::Result(key) => write!(f, "the result of {}", key_words(key)),
            Self::Results(command) => write!(f, "the results of command {command}"),
        }
    }
}

impl fmt::Display for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.mapped { "map" } else { "call" };
        write!(f, "a {what} of `{}`", self.task)?;
        if let Some(component) = &self.component {
            write!(f, " in `{component}`")?;
        }
        match &self.digest {
            Some(digest) => write!(f, " (component {})", digest.short())?,
            None => f.write_str(" (a component that is not there)")?,
        }
        for (name, print) in &self.each {
            write!(f, ", each `{name}` of {print}")?;
        }
        for (name, print) in &self.same {
            write!(f, ", `{name}` = {print}")?;
        }
        write!(f, ", options of digest {:08x}", u128::from_be_bytes(self.options) >> 96)
    }
}

/// The step in words, as the message of a flow that has changed shows it.
impl fmt::Display for FlowStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(print) => print.fmt(f),
            Self::Cancelled(what) => write!(f, "a cancel of {}", watched_words(what)),
            Self::Length(command, _) => write!(f, "the length of the map of command {command}"),
            Self::State(key, ..) => write!(f, "the state of {}", key_words(key)),
            Self::Ended(key, _) => write!(f, "a wait for the result of {}", key_words(key)),
            Self::Waited(asked, _) => {
                let digest = u128::from_be_bytes(asked.keys) >> 96;
                let until = match asked.until {
                    FlowReturnWhen::All => "all have ended",
                    FlowReturnWhen::First => "the first has ended",
                    FlowReturnWhen::FirstError => "the first has failed",
                };
                write!(f, "a wait for {} runs (digest {digest:08x}) until {until}", asked.count)
            }
            Self::Next(set, ..) => write!(f, "the next run of watched set {set}"),
            Self::Sleep(nanos, _) => {
                let time = std::time::Duration::from_nanos(*nanos);
                write!(f, "a sleep of {}", sandmill_core::units::format_duration(time))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_packed_and_unpacked() {
        for count in [0, 1, 7, 8, 9, 100] {
            let bits: Vec<bool> = (0..count).map(|at| at % 3 == 0).collect();
            assert_eq!(unpack(&pack(&bits), count), bits);
        }
        assert_eq!(unpack(&[], 3), [false; 3]);
    }

    #[test]
    fn a_print_tells_commands_apart_and_goes_through_the_journal() {
        let target = |task: &str| FlowTarget {
            component: None,
            task: task.to_owned(),
            options: sandmill_core::FlowCallOptions::default(),
        };
        let values = |json: &str| {
            vec![("n".to_owned(), FlowElements::Values(Value::from_json_str(json).unwrap()))]
        };
        let print = |task: &str, json: &str| {
            let digest = Some(Digest::of(b"c"));
            FlowStep::Command(Box::new(Print::new(&target(task), digest, true, &values(json), &[])))
        };
        let one = print("count", "[1, 2]");
        assert_ne!(one, print("count", "[1, 3]"));
        assert_ne!(one, print("sum", "[1, 2]"));
        let words = one.to_string();
        assert!(words.contains("a map of `count`") && words.contains("each `n` of 2 elements"));
        let mut steps = vec![one];
        let key = FutureKey { command: 3, index: Some(9) };
        steps.push(FlowStep::Cancelled(FlowWatched::One(key)));
        steps.push(FlowStep::Length(1, None));
        steps.push(FlowStep::State(key, StateType::Completed, "Cached".to_owned(), None));
        steps.push(FlowStep::Waited(Asked::new(&[key], FlowReturnWhen::First), vec![1]));
        steps.push(FlowStep::Next(0, Answer::Completed(key, 1), 5));
        steps.push(FlowStep::Next(0, Answer::Exhausted, 5));
        steps.push(FlowStep::Sleep(5, Timestamp::from_micros(7)));
        for step in steps {
            assert_eq!(Value::encode(&step).unwrap().decode::<FlowStep>().unwrap(), step);
        }
    }
}
