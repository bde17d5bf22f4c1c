//! The inputs of a map, one by one: the lines of a file, JSON, or a range of numbers. They are
//! read as slots get free, so that there may be any number of them; only a JSON array is read
//! whole.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::ops::Range;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use sandmill::Value;
use serde_json::value::RawValue;

use crate::error::{CliError, Result};

/// The longest line of an input.
pub(crate) const MAX_LINE_BYTES: u64 = 16 << 20;
/// The largest JSON array of inputs; more than that comes as JSON Lines.
pub(crate) const MAX_ARRAY_BYTES: u64 = 1 << 30;

/// Inputs, and how many there are where that is known.
pub(crate) struct Inputs {
    /// The inputs. They end at the first that cannot be read; the fault is in `fault`.
    pub(crate) values: Box<dyn Iterator<Item = Value> + Send>,
    /// How many there are.
    pub(crate) total: Option<u64>,
    /// Why they ended before their end.
    pub(crate) fault: Fault,
}

/// Where the reader of inputs says why it stopped. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Arc<OnceLock<String>>);

impl Fault {
    /// Why the inputs ended before their end.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// The input, or none and the fault is kept.
    fn keep(&self, input: Result<Value, String>) -> Option<Value> {
        input.map_err(|fault| self.0.get_or_init(|| fault)).ok()
    }
}

/// `A..B` or `A..=B`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NumberRange {
    start: i64,
    /// One past the last: wide enough for the last to be the largest there is.
    end: i128,
}

impl FromStr for NumberRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write A..B, or A..=B to include B, with whole numbers";
        let (start, end) = text.split_once("..").ok_or(form)?;
        let (end, inclusive) = match end.strip_prefix('=') {
            Some(end) => (end, 1),
            None => (end, 0),
        };
        let start: i64 = start.trim().parse().map_err(|_| form)?;
        let end: i64 = end.trim().parse().map_err(|_| form)?;
        let end = i128::from(end) + inclusive;
        if end < i128::from(start) {
            return Err("the range goes backwards".to_owned());
        }
        Ok(Self { start, end })
    }
}

impl NumberRange {
    /// The numbers.
    pub(crate) fn inputs(&self) -> Inputs {
        let (start, end) = (i128::from(self.start), self.end);
        let fault = Fault::default();
        let kept = fault.clone();
        let values = (start..end).map_while(move |number| {
            let number = i64::try_from(number).map_err(|error| error.to_string());
            kept.keep(
                number.and_then(|number| Value::encode(&number).map_err(|error| error.to_string())),
            )
        });
        let total = u64::try_from(end - start).ok();
        Inputs { values: Box::new(values), total, fault }
    }
}

/// A file, or stdin for `-`.
fn open(path: &str) -> Result<Box<dyn BufRead + Send>> {
    if path == "-" {
        return Ok(Box::new(BufReader::new(stdin())));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(BufReader::new(file))),
        Err(error) => {
            Err(CliError::input(format!("the inputs `{path}` cannot be read")).detail(error))
        }
    }
}

/// The lines of a file as strings, without their ends.
pub(crate) fn lines(path: &str) -> Result<Inputs> {
    let mut lines = Lines { from: open(path)?, path: path.to_owned(), number: 0 };
    let fault = Fault::default();
    let kept = fault.clone();
    let values =
        std::iter::from_fn(move || {
            let line = lines.next()?;
            kept.keep(line.and_then(|line| {
                Value::encode(&line).map_err(|error| lines.fault(&error.to_string()))
            }))
        });
    Ok(Inputs { values: Box::new(values), total: None, fault })
}

/// The elements of a JSON array, or of JSON Lines.
pub(crate) fn json(path: &str) -> Result<Inputs> {
    let mut from = open(path)?;
    let cannot = |error: std::io::Error| {
        CliError::input(format!("the inputs `{path}` cannot be read")).detail(error)
    };
    // What is skipped is at the start, where it means nothing in JSON.
    let first = loop {
        let buffer = from.fill_buf().map_err(cannot)?;
        let Some(first) = buffer.first().copied() else { break None };
        if !first.is_ascii_whitespace() {
            break Some(first);
        }
        from.consume(1);
    };
    if first != Some(b'[') {
        return Ok(json_lines(from, path));
    }
    // An array, or JSON Lines whose first is an array: one more line tells them apart.
    let mut line = Vec::new();
    (&mut from).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(cannot)?;
    let complete = serde_json::from_slice::<&RawValue>(&line).is_ok();
    let more = complete && !from.fill_buf().map_err(cannot)?.trim_ascii().is_empty();
    let from = std::io::Cursor::new(line).chain(from);
    if more { Ok(json_lines(Box::new(from), path)) } else { array(from, path) }
}

fn json_lines(from: Box<dyn BufRead + Send>, path: &str) -> Inputs {
    let mut lines = Lines { from, path: path.to_owned(), number: 0 };
    let fault = Fault::default();
    let kept = fault.clone();
    let values = std::iter::from_fn(move || {
        loop {
            let line = match lines.next()? {
                Ok(line) if line.trim().is_empty() => continue,
                line => line,
            };
            return kept.keep(line.and_then(|line| {
                Value::from_json_str(&line).map_err(|error| lines.fault(error.message()))
            }));
        }
    });
    Inputs { values: Box::new(values), total: None, fault }
}

fn array(from: impl Read, path: &str) -> Result<Inputs> {
    let mut text = String::new();
    from.take(MAX_ARRAY_BYTES + 1).read_to_string(&mut text).map_err(|error| {
        CliError::input(format!("the inputs `{path}` cannot be read")).detail(error)
    })?;
    if text.len() as u64 > MAX_ARRAY_BYTES {
        let most = sandmill::core::units::format_size(MAX_ARRAY_BYTES);
        return Err(CliError::input(format!("the JSON array in `{path}` is larger than {most}"))
            .hint("write one JSON value a line: JSON Lines are read as they are needed"));
    }
    let places = element_places(&text).map_err(|error| {
        CliError::input(format!("the inputs `{path}` are not a JSON array")).detail(error)
    })?;
    let fault = Fault::default();
    let kept = fault.clone();
    let (total, path) = (places.len() as u64, path.to_owned());
    let values = places.into_iter().enumerate().map_while(move |(index, place)| {
        let element = Value::from_json_str(&text[place]);
        kept.keep(element.map_err(|error| format!("`{path}`, element {index}: {error}")))
    });
    Ok(Inputs { values: Box::new(values), total: Some(total), fault })
}

/// Where the elements are in the text of an array: much smaller than the elements as trees.
fn element_places(text: &str) -> Result<Vec<Range<usize>>, serde_json::Error> {
    let elements: Vec<&RawValue> = serde_json::from_str(text)?;
    let place = |element: &RawValue| {
        let start = element.get().as_ptr() as usize - text.as_ptr() as usize;
        start..start + element.get().len()
    };
    Ok(elements.into_iter().map(place).collect())
}

struct Lines {
    from: Box<dyn BufRead + Send>,
    path: String,
    number: u64,
}

impl Lines {
    fn fault(&self, what: &str) -> String {
        format!("`{}`, line {}: {what}", self.path, self.number)
    }

    fn next(&mut self) -> Option<Result<String, String>> {
        let mut line = Vec::new();
        self.number += 1;
        match (&mut self.from).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line) {
            Err(error) => return Some(Err(self.fault(&error.to_string()))),
            Ok(0) => return None,
            Ok(_) if line.len() as u64 > MAX_LINE_BYTES => {
                let most = sandmill::core::units::format_size(MAX_LINE_BYTES);
                return Some(Err(self.fault(&format!("it is longer than {most}"))));
            }
            Ok(_) => {}
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        Some(String::from_utf8(line).map_err(|_| self.fault("it is not UTF-8")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(make: impl Fn(&str) -> Result<Inputs>, content: &[u8]) -> (Vec<String>, Option<String>) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("it can be written");
        let inputs = make(file.path().to_str().expect("it is UTF-8")).expect("it is readable");
        let values = inputs.values.map(|value| value.to_json_string()).collect();
        (values, inputs.fault.get().map(str::to_owned))
    }

    #[test]
    fn ranges_are_half_open_or_not() {
        let all = |text: &str| {
            let inputs = text.parse::<NumberRange>().expect("it is a range").inputs();
            (inputs.total, inputs.values.map(|value| value.to_json_string()).collect::<Vec<_>>())
        };
        assert_eq!(all("-1..2"), (Some(3), vec!["-1".into(), "0".into(), "1".into()]));
        assert_eq!(all("3..=3"), (Some(1), vec!["3".into()]));
        assert_eq!(all("3..3"), (Some(0), vec![]));
        let most = format!("{}..={}", i64::MAX, i64::MAX);
        assert_eq!(all(&most).0, Some(1));
        for wrong in ["", "1", "1..", "..2", "a..b", "2..1", "1...2", "1.5..2"] {
            assert!(wrong.parse::<NumberRange>().is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn lines_are_strings_without_their_ends() {
        assert_eq!(of(lines, b"a\r\n\n7\nlast").0, [r#""a""#, r#""""#, r#""7""#, r#""last""#]);
        let (values, fault) = of(lines, b"a\n\xff\nb\n");
        assert_eq!(values, [r#""a""#]);
        assert!(fault.is_some_and(|fault| fault.contains("line 2")));
    }

    #[test]
    fn json_is_an_array_or_lines() {
        assert_eq!(of(json, b" [1, {\"a\": [2]},\n\"x\"]\n").0, ["1", r#"{"a":[2]}"#, r#""x""#]);
        assert_eq!(of(json, b"[1, 2]").0, ["1", "2"]);
        assert_eq!(of(json, b"[1, 2]\n[3]\n").0, ["[1,2]", "[3]"]);
        assert_eq!(of(json, b"1\n\n{\"a\":2}\n").0, ["1", r#"{"a":2}"#]);
        assert_eq!(of(json, b"").0, Vec::<String>::new());
        let (values, fault) = of(json, b"1\n{\n3\n");
        assert_eq!(values, ["1"]);
        assert!(fault.is_some_and(|fault| fault.contains("line 2")));
    }
}
