//! Arguments as they are typed: `-a NAME=VALUE`, `-a NAME=@file`, and one JSON object. Checked
//! against the task's schema by name, all faults at once, before anything runs.

use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use sandmill::Value;
use sandmill::flow_file::argument_fault;
use sandmill::value::{Bounds, MapBuilder};

use crate::error::{CliError, Result};
use crate::schema::{Parameter, Takes};
use crate::text::nearest;

/// One `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The parameter's name.
    pub(crate) name: String,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// JSON, else a string.
    Text(String),
    /// What is in a file; `-` is stdin.
    File(String),
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or(
            "write NAME=VALUE, where VALUE is JSON, else a string, or @FILE for what is in a file",
        )?;
        let source = match value.strip_prefix('@') {
            Some(escaped) if escaped.starts_with('@') => Source::Text(escaped.to_owned()),
            Some("") => return Err("after `@` comes a file, or `-` for stdin".to_owned()),
            Some(path) => Source::File(path.to_owned()),
            None => Source::Text(value.to_owned()),
        };
        Ok(Self { name: name.to_owned(), source })
    }
}

impl Assignment {
    /// The text of the value, where it is not a file's.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.source {
            Source::Text(text) => Some(text),
            Source::File(_) => None,
        }
    }

    /// The value. What takes only strings gets text as it is unless it is a JSON string, and a
    /// file's text; what takes no strings gets the JSON that is in a file.
    pub(crate) fn value(&self, takes: Takes, bounds: &Bounds) -> Result<Value, String> {
        match &self.source {
            Source::Text(text) if takes == Takes::Text && !text.trim_start().starts_with('"') => {
                string(text, bounds)
            }
            Source::Text(text) => match Value::from_json_str(text) {
                Ok(value) => Ok(value),
                Err(_) => string(text, bounds),
            },
            Source::File(path) => {
                let bytes = read(path, bounds.max_bytes)?;
                match (takes, std::str::from_utf8(&bytes)) {
                    (Takes::Bytes, _) | (Takes::Anything, Err(_)) => binary(&bytes, bounds),
                    (Takes::Text, Ok(text)) => string(text, bounds),
                    (Takes::Text, Err(_)) => {
                        Err(format!("`{path}` is not UTF-8, and the parameter takes a string"))
                    }
                    (Takes::Anything, Ok(text)) => {
                        Value::from_json_str(text).or_else(|_| binary(&bytes, bounds))
                    }
                    (Takes::Json, Ok(text)) => Value::from_json_str(text)
                        .map_err(|error| format!("`{path}` is not JSON: {error}")),
                    (Takes::Json, Err(_)) => {
                        Err(format!("`{path}` is not JSON: it is not even UTF-8"))
                    }
                }
            }
        }
    }
}

/// Reads a file, or stdin for `-`, of at most so many bytes.
pub(crate) fn read(path: &str, most: usize) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = if path == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(Path::new(path))
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    match read {
        Err(error) => Err(format!("`{path}` cannot be read: {error}")),
        Ok(_) if bytes.len() > most => {
            let most = sandmill::core::units::format_size(most as u64);
            Err(format!("`{path}` is larger than {most}; raise --max-input"))
        }
        Ok(_) => Ok(bytes),
    }
}

fn string(text: &str, bounds: &Bounds) -> Result<Value, String> {
    header([(0xd9, 1), (0xda, 2), (0xdb, 4)], text.as_bytes(), bounds)
}

fn binary(bytes: &[u8], bounds: &Bounds) -> Result<Value, String> {
    header([(0xc4, 1), (0xc5, 2), (0xc6, 4)], bytes, bounds)
}

/// `content` after the first of these MessagePack markers whose length field can hold its length.
/// Not serde: it would apply the default bounds, and `--max-input` may be higher.
fn header(markers: [(u8, usize); 3], content: &[u8], bounds: &Bounds) -> Result<Value, String> {
    let length = u32::try_from(content.len()).map_err(|_| "it is larger than 4 GiB".to_owned())?;
    let fits = |width: usize| width == 4 || length < 1 << (8 * width);
    let (marker, width) = markers.into_iter().find(|(_, width)| fits(*width)).unwrap_or(markers[2]);
    let mut bytes = Vec::with_capacity(content.len() + 5);
    bytes.push(marker);
    bytes.extend_from_slice(&length.to_be_bytes()[4 - width..]);
    bytes.extend_from_slice(content);
    Value::check(bytes, bounds).map_err(|error| error.to_string())
}

/// The bytes of a binary value, or of a string; none for any other.
pub(crate) fn content(value: &Value) -> Option<&[u8]> {
    let bytes = value.as_bytes();
    let skip = match bytes.first()? {
        0xa0..=0xbf => 1,
        0xc4 | 0xd9 => 2,
        0xc5 | 0xda => 3,
        0xc6 | 0xdb => 5,
        _ => return None,
    };
    bytes.get(skip..)
}

/// Arguments by name, in the order in which they were given.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) values: Vec<(String, Value)>,
    faults: Vec<String>,
}

impl Arguments {
    /// Takes the assignments.
    pub(crate) fn of(
        assignments: &[Assignment],
        parameters: Option<&[Parameter]>,
        bounds: &Bounds,
    ) -> Self {
        let mut arguments = Self::default();
        for assignment in assignments {
            let parameter = parameters
                .and_then(|known| known.iter().find(|known| known.name == assignment.name));
            let takes = parameter.map_or(Takes::Anything, |parameter| parameter.takes);
            match assignment.value(takes, bounds) {
                Ok(value) => arguments.add(&assignment.name, value),
                Err(fault) => {
                    arguments.faults.push(format!("argument `{}`: {fault}", assignment.name))
                }
            }
        }
        arguments
    }

    /// Takes one JSON object of arguments besides.
    pub(crate) fn add_json(&mut self, text: &str) {
        let entries = Value::from_json_str(text)
            .map_err(|error| format!("the arguments are not JSON: {error}"))
            .and_then(|value| value.entries().map_err(|_| {
                format!("the arguments are {} in JSON; write an object by parameter name, such as '{{\"name\": 1}}'", value.kind())
            }));
        match entries {
            Err(fault) => self.faults.push(fault),
            Ok(entries) => {
                for (name, value) in entries {
                    self.add(name.as_str().unwrap_or_default(), value);
                }
            }
        }
    }

    fn add(&mut self, name: &str, value: Value) {
        if self.values.iter().any(|(other, _)| other == name) {
            self.faults.push(format!("argument `{name}` is given twice"));
        } else {
            self.values.push((name.to_owned(), value));
        }
    }

    /// Checks the names against the task's: each must be known.
    pub(crate) fn check_known(&mut self, parameters: &[Parameter]) {
        let given = self.values.iter().map(|(name, _)| name.as_str());
        self.faults.extend(given.filter_map(|name| unknown(name, parameters)).collect::<Vec<_>>());
    }

    /// Checks the values against the schema of what is called, as far as it says.
    pub(crate) fn check_values(&mut self, schema: &str) {
        let fault = |(name, value): &(String, Value)| {
            argument_fault(schema, name, value).map(|fault| format!("argument `{name}`: {fault}"))
        };
        self.faults.extend(self.values.iter().filter_map(fault).collect::<Vec<_>>());
    }

    /// Checks the names against the task's: each must be known, and each required one given, here
    /// or by `elsewhere`.
    pub(crate) fn check(&mut self, parameters: &[Parameter], elsewhere: Option<&str>) {
        self.check_known(parameters);
        self.faults.extend(elsewhere.and_then(|name| unknown(name, parameters)));
        if let Some(name) = elsewhere
            && self.values.iter().any(|(other, _)| other == name)
        {
            self.faults.push(format!("argument `{name}` is given by `-a` and by each input"));
        }
        for parameter in parameters.iter().filter(|parameter| parameter.required) {
            let given = self.values.iter().any(|(name, _)| *name == parameter.name);
            if !given && elsewhere != Some(&parameter.name) {
                self.faults.push(format!(
                    "parameter `{}` ({}) is missing",
                    parameter.name, parameter.r#type
                ));
            }
        }
    }

    /// The arguments, where nothing is wrong with them.
    pub(crate) fn checked(self, task: &str) -> Result<Vec<(String, Value)>> {
        if self.faults.is_empty() {
            return Ok(self.values);
        }
        Err(CliError::input(format!("the arguments do not fit task `{task}`")).details(self.faults).hint(
            "give arguments as one JSON object or as `-a NAME=VALUE`; `sandmill inspect` lists the parameters",
        ))
    }
}

/// What to say of a name that no parameter has.
fn unknown(name: &str, parameters: &[Parameter]) -> Option<String> {
    let names = || parameters.iter().map(|parameter| parameter.name.as_str());
    if names().any(|known| known == name) {
        return None;
    }
    let near = nearest(name, names()).map(|near| format!("; did you mean `{near}`?"));
    Some(format!("there is no parameter `{name}`{}", near.unwrap_or_default()))
}

/// One argument map.
pub(crate) fn map_of(values: &[(String, Value)], bounds: Bounds) -> Result<Value> {
    let mut map = MapBuilder::within(bounds);
    for (name, value) in values {
        map.push(name, value);
    }
    map.finish().map_err(|error| {
        CliError::input("the arguments are too large").detail(error).hint("raise --max-input")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, takes: Takes) -> String {
        let assignment: Assignment = text.parse().expect("it is an assignment");
        assignment.value(takes, &Bounds::DEFAULT).expect("it has a value").to_json_string()
    }

    #[test]
    fn values_are_json_else_strings_else_files() {
        for (typed, anything, text) in [
            ("n=7", "7", "\"7\""),
            ("n=[1, 2]", "[1,2]", "\"[1, 2]\""),
            ("n=hello world", "\"hello world\"", "\"hello world\""),
            ("n=\"7\"", "\"7\"", "\"7\""),
            ("n=@@home", "\"@home\"", "\"@home\""),
            ("n=a=b", "\"a=b\"", "\"a=b\""),
            ("n=", "\"\"", "\"\""),
        ] {
            assert_eq!(value(typed, Takes::Anything), anything, "{typed}");
            assert_eq!(value(typed, Takes::Text), text, "{typed}");
        }
        for wrong in ["n", "=7", "n=@"] {
            assert!(wrong.parse::<Assignment>().is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_file_gives_what_the_parameter_takes() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let typed = format!("n=@{}", file.path().display());
        let refusal = |takes, bounds: &Bounds| {
            let given: Assignment = typed.parse().expect("it is an assignment");
            given.value(takes, bounds).expect_err("it was taken")
        };
        std::fs::write(file.path(), [0, 1, 0xff]).expect("it can be written");
        for takes in [Takes::Bytes, Takes::Anything] {
            assert_eq!(value(&typed, takes), r#"{"$bytes":"AAH/"}"#);
        }
        assert!(refusal(Takes::Text, &Bounds::DEFAULT).contains("not UTF-8"));
        assert!(refusal(Takes::Json, &Bounds::DEFAULT).contains("not JSON"));
        let small = Bounds { max_bytes: 2, ..Bounds::DEFAULT };
        assert!(refusal(Takes::Bytes, &small).contains("--max-input"));
        std::fs::write(file.path(), "[1, 2]\n").expect("it can be written");
        assert_eq!(value(&typed, Takes::Json), "[1,2]");
        assert_eq!(value(&typed, Takes::Anything), "[1,2]");
        assert_eq!(value(&typed, Takes::Text), r#""[1, 2]\n""#);
        assert_eq!(value(&typed, Takes::Bytes), r#"{"$bytes":"WzEsIDJdCg=="}"#);
        std::fs::write(file.path(), "[1, 2").expect("it can be written");
        let refused = refusal(Takes::Json, &Bounds::DEFAULT);
        assert!(refused.contains("is not JSON") && refused.contains("line 1"), "{refused}");
        assert_eq!(value(&typed, Takes::Anything), r#"{"$bytes":"WzEsIDI="}"#);
    }

    #[test]
    fn long_content_keeps_its_length() {
        for length in [0, 31, 32, 255, 256, 65_535, 65_536, 70_000] {
            let bytes = vec![7; length];
            let made = binary(&bytes, &Bounds::DEFAULT).expect("it fits");
            assert_eq!(content(&made), Some(&*bytes));
            let text = "x".repeat(length);
            let made = string(&text, &Bounds::DEFAULT).expect("it fits");
            assert_eq!((made.as_str(), content(&made)), (Some(&*text), Some(text.as_bytes())));
        }
    }

    #[test]
    fn all_faults_come_at_once() {
        let parameter = |name: &str, required| Parameter {
            name: name.to_owned(),
            r#type: "integer".to_owned(),
            required,
            default: None,
            doc: None,
            takes: Takes::Json,
        };
        let parameters =
            [parameter("width", true), parameter("height", true), parameter("q", false)];
        let assignments =
            ["widht=1".parse().unwrap(), "q=1".parse().unwrap(), "q=2".parse().unwrap()];
        let mut arguments = Arguments::of(&assignments, Some(&parameters), &Bounds::DEFAULT);
        arguments.add_json("[]");
        arguments.check(&parameters, None);
        let error = arguments.checked("resize").unwrap_err();
        assert_eq!(error.details.len(), 5, "{error:#?}");
        assert!(error.details[2].contains("did you mean `width`?"), "{error:#?}");
    }
}
