//! [`Arguments`]: one call's argument map, taken apart by parameter name. All that does not fit is
//! gathered, so that one failure names every fault.

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::codec::{self, decode, describe_value, skip_value};
use crate::failure::Failure;
use crate::task::TaskParameter;

/// The most faults that one failure spells out; a map can hold millions of unknown names.
const FAULTS_MAX: usize = 16;

/// The most characters of an unknown name that a message repeats.
const NAME_CHARS_MAX: usize = 64;

/// The arguments of one call, and what is wrong with them so far.
pub struct Arguments<'a> {
    values: Vec<(&'static str, &'a [u8])>,
    faults: Vec<String>,
    more_faults: usize,
}

impl<'a> Arguments<'a> {
    /// Slices the map in `bytes` into the arguments of `parameters`, in their order.
    pub fn read(bytes: &'a [u8], parameters: &[&'static str]) -> Self {
        let mut arguments = Self {
            values: Vec::with_capacity(parameters.len()),
            faults: Vec::new(),
            more_faults: 0,
        };
        if let Err(fault) = arguments.read_map(bytes, parameters) {
            arguments.fault(fault);
        }
        arguments
    }

    fn read_map(&mut self, mut bytes: &'a [u8], parameters: &[&'static str]) -> Result<(), String> {
        const ENDS_EARLY: &str = "the MessagePack data is broken or ends early";

        let start = bytes;
        let entries = rmp::decode::read_map_len(&mut bytes).map_err(|_| {
            format!("arguments are one map by parameter name, got {}", describe_value(start))
        })?;
        for _ in 0..entries {
            let key = skip_value(&mut bytes).ok_or(ENDS_EARLY)?;
            let value = skip_value(&mut bytes).ok_or(ENDS_EARLY)?;
            let Ok((name, _)) = rmp::decode::read_str_from_slice(key) else {
                self.fault(format!("an argument's name is a string, got {}", describe_value(key)));
                continue;
            };
            match parameters.iter().find(|&&known| known == name) {
                Some(known) if self.values.iter().any(|(taken, _)| taken == known) => {
                    self.fault(format!("`{known}` is given twice"));
                }
                Some(known) => self.values.push((known, value)),
                None => self.fault(unknown_name(name, parameters)),
            }
        }
        match bytes.len() {
            0 => Ok(()),
            rest => Err(format!("{rest} bytes follow the argument map")),
        }
    }

    /// The argument for a parameter. `Option` parameters may be missing; with anything else that
    /// is a fault, and so is a value that does not decode. `type_name` is the type as the author
    /// wrote it.
    pub fn required<T: TaskParameter>(
        &mut self,
        name: &'static str,
        type_name: &'static str,
    ) -> Option<T> {
        match self.value(name) {
            Some(value) => self.decode(name, type_name, value),
            None => match missing() {
                Some(none) => Some(none),
                None => {
                    self.fault(format!("`{name}` ({type_name}) is missing"));
                    None
                }
            },
        }
    }

    /// The argument for a parameter, or its default. Only a missing one is replaced: a value that
    /// does not decode stays a fault.
    pub fn or_default<T: TaskParameter>(
        &mut self,
        name: &'static str,
        type_name: &'static str,
        default: fn() -> T,
    ) -> Option<T> {
        match self.value(name) {
            Some(value) => self.decode(name, type_name, value),
            None => Some(default()),
        }
    }

    /// Whether everything fitted so far.
    pub fn are_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// All that did not fit, as one failure.
    pub fn into_failure(self) -> Failure {
        let mut message = self.faults.join("; ");
        if self.more_faults > 0 {
            message.push_str(&format!("; and {} more faults", self.more_faults));
        }
        Failure::new(Failure::INVALID_ARGUMENTS, message)
    }

    fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values.iter().find(|(known, _)| *known == name).map(|&(_, value)| value)
    }

    fn decode<T: DeserializeOwned>(
        &mut self,
        name: &str,
        type_name: &str,
        value: &[u8],
    ) -> Option<T> {
        decode(value)
            .map_err(|fault: codec::DecodeFault| {
                self.fault(format!("`{name}` does not fit {type_name}: {fault}"));
            })
            .ok()
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }
}

fn unknown_name(name: &str, parameters: &[&str]) -> String {
    let mut shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    if parameters.is_empty() {
        return format!("there is no parameter `{shown}`: this task takes none");
    }
    let known: Vec<_> = parameters.iter().map(|known| format!("`{known}`")).collect();
    format!("there is no parameter `{shown}`, only {}", known.join(", "))
}

/// The value of a `T` that is not there: `None` for an `Option`, else no value at all. serde's
/// derive treats a missing field the same way.
pub(crate) fn missing<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(Missing).ok()
}

struct Missing;

impl<'de> Deserializer<'de> for Missing {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
