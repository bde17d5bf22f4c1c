//! The keys of the configuration: one table that files, environment, flags, `config show` and
//! `docs/cli.md` all follow. Where a value comes from is in `layers`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sandmill::Limits;
use sandmill::core::units::{format_size, parse_duration, parse_size};
use sandmill::executors::{DEFAULT_QUEUE, MAX_SLOTS};

use super::form::{Form, shown_engine};
use super::hosts::HOST_KEYS;

/// Entries of one list.
const MAX_LIST: usize = 1_000;

/// One key of the configuration.
#[derive(Debug)]
pub(crate) struct Key {
    /// Section and name: `limits.timeout`.
    pub(crate) path: &'static str,
    /// What values it takes.
    pub(crate) kind: Kind,
    /// What it does, for people.
    pub(crate) doc: &'static str,
    pub(super) default: fn() -> Option<Setting>,
}

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// A size with its unit.
    Size,
    /// A duration with its unit.
    Duration,
    /// `true` or `false`.
    Flag,
    /// A path; relative to the file that names it, or else to the working directory.
    Path,
    /// Text of a form.
    Text(Form),
    /// The same, never shown.
    Secret(Form),
    /// The URLs of an engine, shown without passwords.
    Engine,
    /// A list of such texts; with commas between them outside of files.
    List(Form),
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Setting {
    /// See [`Kind::Choice`].
    Choice(&'static str),
    /// See [`Kind::Count`].
    Count(u64),
    /// See [`Kind::Size`]; bytes.
    Size(u64),
    /// See [`Kind::Duration`].
    Duration(Duration),
    /// See [`Kind::Flag`].
    Flag(bool),
    /// See [`Kind::Path`].
    Path(PathBuf),
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Secret`].
    Secret(String),
    /// See [`Kind::Engine`].
    Engine(String),
    /// See [`Kind::List`].
    List(Vec<String>),
}

pub(super) const fn key(
    path: &'static str,
    kind: Kind,
    default: fn() -> Option<Setting>,
    doc: &'static str,
) -> Key {
    Key { path, kind, doc, default }
}

/// Every key there is, section by section.
pub(crate) fn keys() -> impl Iterator<Item = &'static Key> + Clone {
    KEYS.iter().chain(HOST_KEYS)
}

/// The keys of one host.
const KEYS: &[Key] = &[
    key(
        "executor.kind",
        Kind::Choice(&["inline", "pool", "remote"]),
        || None,
        "where runs happen; by default inline for `call`, pool for `run` and `map`",
    ),
    key(
        "executor.slots",
        Kind::Count(1, MAX_SLOTS as u64),
        || Some(Setting::Count(cores())),
        "runs that go on at a time in the pool, or in local workers together; by default one for each core",
    ),
    key(
        "executor.isolation",
        Kind::Choice(&["threads", "processes"]),
        || Some(Setting::Choice("threads")),
        "what keeps the runs of the pool apart beside the sandbox",
    ),
    key(
        "executor.queue",
        Kind::Count(1, 100_000_000),
        || Some(Setting::Count(DEFAULT_QUEUE as u64)),
        "calls that may wait for a slot",
    ),
    key(
        "limits.memory",
        Kind::Size,
        || Some(Setting::Size(Limits::default().memory)),
        "bytes of a run over all its memories and tables",
    ),
    key(
        "limits.table_elements",
        Kind::Count(0, u64::MAX),
        || Some(Setting::Count(Limits::default().table_elements)),
        "elements of a run over all its tables",
    ),
    key(
        "limits.timeout",
        Kind::Duration,
        || Some(Setting::Duration(Limits::default().timeout)),
        "wall-clock time of an attempt",
    ),
    key(
        "limits.fuel",
        Kind::Count(1, u64::MAX),
        || None,
        "fuel of an attempt; not metered when unset",
    ),
    key(
        "limits.input",
        Kind::Size,
        || Some(Setting::Size(Limits::default().input)),
        "bytes of an argument map",
    ),
    key(
        "limits.output",
        Kind::Size,
        || Some(Setting::Size(Limits::default().output)),
        "bytes of a result",
    ),
    key(
        "limits.logs",
        Kind::Size,
        || Some(Setting::Size(Limits::default().logs)),
        "bytes of a run's logs, stdout and stderr that are kept",
    ),
    key(
        "limits.handles",
        Kind::Count(0, u32::MAX as u64),
        || Some(Setting::Count(u64::from(Limits::default().handles))),
        "handles that a run may hold at a time",
    ),
    key(
        "limits.cancel_grace",
        Kind::Duration,
        || Some(Setting::Duration(Limits::default().cancel_grace)),
        "how long a cancelled run may go on to return by itself",
    ),
    key(
        "cache.enabled",
        Kind::Flag,
        || Some(Setting::Flag(true)),
        "whether compiled code is kept on disk",
    ),
    key(
        "cache.directory",
        Kind::Path,
        || super::file::default_cache_directory().map(Setting::Path),
        "where compiled code is kept; only you may be able to write there",
    ),
    key(
        "store.dir",
        Kind::Path,
        || super::file::default_data_directory().map(Setting::Path),
        "where the history of runs, results and the cache of results are kept; only you may be able to read it",
    ),
    key(
        "store.wait",
        Kind::Duration,
        || Some(Setting::Duration(Duration::ZERO)),
        "how long to wait while another process writes to the data directory",
    ),
    key(
        "output.format",
        Kind::Choice(&["human", "json", "quiet"]),
        || Some(Setting::Choice("human")),
        "how to speak",
    ),
    key(
        "output.color",
        Kind::Choice(&["auto", "always", "never"]),
        || Some(Setting::Choice("auto")),
        "when to use colours",
    ),
    key(
        "output.logs",
        Kind::Choice(&["off", "failed", "error", "warn", "info", "debug", "trace"]),
        || None,
        "which lines of guests' logs to show; by default info for `call`, failed for `run` and `map`",
    ),
];

impl Key {
    /// The key with this path.
    pub(crate) fn find(path: &str) -> Option<&'static Self> {
        keys().find(|key| key.path == path)
    }

    /// The value when nothing sets the key; none where it depends on the command.
    pub(crate) fn default(&self) -> Option<Setting> {
        (self.default)()
    }

    /// The sections that there are.
    pub(crate) fn sections() -> impl Iterator<Item = &'static str> + Clone {
        let mut last = "";
        keys().filter_map(move |key| {
            let section = key.section();
            (section != std::mem::replace(&mut last, section)).then_some(section)
        })
    }

    /// `limits` of `limits.timeout`.
    pub(crate) fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }

    /// `timeout` of `limits.timeout`.
    pub(crate) fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("SANDMILL_{}__{}", self.section(), self.name()).to_uppercase()
    }
}

impl Kind {
    /// Reads a value from text, as in an environment variable.
    pub(crate) fn read(self, text: &str) -> Result<Setting, String> {
        match self {
            Self::Choice(words) => words
                .iter()
                .find(|word| **word == text)
                .map(|word| Setting::Choice(word))
                .ok_or_else(|| format!("`{text}` is not one of {}", words.join(", "))),
            Self::Count(least, most) => text
                .parse()
                .map_err(|_| format!("`{text}` is not a whole number"))
                .and_then(|number| Self::count(number, least, most)),
            Self::Size => parse_size(text).map(Setting::Size).map_err(|error| error.to_string()),
            Self::Duration => {
                parse_duration(text).map(Setting::Duration).map_err(|error| error.to_string())
            }
            Self::Flag => match text {
                "true" => Ok(Setting::Flag(true)),
                "false" => Ok(Setting::Flag(false)),
                _ => Err(format!("`{text}` is not `true` or `false`")),
            },
            Self::Path if text.is_empty() => Err("the path is empty".to_owned()),
            Self::Path => Ok(Setting::Path(PathBuf::from(text))),
            Self::Text(form) => form.check(text).map(Setting::Text),
            Self::Secret(form) => form.check(text).map(Setting::Secret),
            Self::Engine => Form::Engine.check(text).map(Setting::Engine),
            Self::List(form) => {
                Self::list(form, text.split(',').map(str::trim).filter(|one| !one.is_empty()))
            }
        }
    }

    /// Checks a whole number.
    pub(crate) fn count(number: u64, least: u64, most: u64) -> Result<Setting, String> {
        if number < least {
            Err(format!("{number} is too small: it must be at least {least}"))
        } else if number > most {
            Err(format!("{number} is too large: it must be at most {most}"))
        } else {
            Ok(Setting::Count(number))
        }
    }

    /// Checks a list, and tells of all faults.
    pub(crate) fn list<'a>(
        form: Form,
        texts: impl Iterator<Item = &'a str>,
    ) -> Result<Setting, String> {
        let (mut kept, mut faults) = (Vec::new(), Vec::new());
        for text in texts {
            match form.check(text) {
                Ok(text) => kept.push(text),
                Err(fault) => faults.push(fault),
            }
        }
        if kept.len() > MAX_LIST {
            faults.push(format!("a list has at most {MAX_LIST} entries"));
        }
        if faults.is_empty() { Ok(Setting::List(kept)) } else { Err(faults.join("; ")) }
    }

    /// What values it takes, for people.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Choice(words) => words.join(" | "),
            Self::Count(..) => "a whole number".to_owned(),
            Self::Size => "a size such as 64MiB".to_owned(),
            Self::Duration => "a duration such as 2s".to_owned(),
            Self::Flag => "true | false".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Text(form) | Self::Secret(form) => form.describe().to_owned(),
            Self::Engine => Form::Engine.describe().to_owned(),
            Self::List(form) => format!("a list of texts: {}", form.describe()),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(word) => f.write_str(word),
            Self::Count(number) => number.fmt(f),
            Self::Size(bytes) => {
                let text = format_size(*bytes);
                // Rounded text would not read back as the same size.
                if parse_size(&text) == Ok(*bytes) {
                    f.write_str(&text)
                } else {
                    write!(f, "{bytes}B")
                }
            }
            Self::Duration(duration) => humantime::format_duration(*duration).fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Path(path) => path.display().fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Secret(text) if text.starts_with('@') => f.write_str(text),
            Self::Secret(_) => f.write_str("(hidden)"),
            Self::Engine(urls) => f.write_str(&shown_engine(urls)),
            Self::List(texts) => f.write_str(&texts.join(",")),
        }
    }
}

pub(super) fn cores() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(MAX_SLOTS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_key_and_reads_back() {
        for key in keys() {
            let Some(default) = key.default() else { continue };
            assert_eq!(key.kind.read(&default.to_string()), Ok(default), "{}", key.path);
        }
    }

    #[test]
    fn paths_sections_and_variables_agree() {
        assert_eq!(
            Key::sections().collect::<Vec<_>>(),
            [
                "executor", "limits", "cache", "store", "output", "remote", "engine", "adapt",
                "worker"
            ]
        );
        assert_eq!(
            Key::find("limits.cancel_grace").map(Key::variable).as_deref(),
            Some("SANDMILL_LIMITS__CANCEL_GRACE")
        );
    }

    #[test]
    fn wrong_values_are_named() {
        let read = |path: &str, text: &str| Key::find(path).expect("it is there").kind.read(text);
        assert!(read("executor.kind", "pole").unwrap_err().contains("inline, pool, remote"));
        assert!(read("executor.slots", "0").unwrap_err().contains("at least 1"));
        assert!(read("limits.memory", "64").unwrap_err().contains("64MiB"));
        assert!(read("cache.enabled", "yes").unwrap_err().contains("`true` or `false`"));
    }
}
