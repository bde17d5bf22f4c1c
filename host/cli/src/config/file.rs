//! Configuration files: where they are, and what they say. All faults of a file come at once,
//! each with its place.

use std::ops::Range;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Key, Kind, Setting, keys};
use crate::text::nearest;

/// The project's file, in the working directory.
pub(crate) const PROJECT_FILE: &str = "sandmill.toml";

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

fn directories() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "sandmill")
}

/// The user's file: `$XDG_CONFIG_HOME/sandmill/config.toml` on Linux.
pub(crate) fn user_file() -> Option<PathBuf> {
    directories().map(|dirs| dirs.config_dir().join("config.toml"))
}

/// Where compiled code is kept when nothing else is said.
pub(crate) fn default_cache_directory() -> Option<PathBuf> {
    directories().map(|dirs| dirs.cache_dir().join("compiled"))
}

/// Where the history of runs is kept when nothing else is said: `$XDG_DATA_HOME/sandmill` on Linux.
pub(crate) fn default_data_directory() -> Option<PathBuf> {
    directories().map(|dirs| dirs.data_dir().to_owned())
}

/// What a file says: for each key its value and its line, and all that is wrong.
#[derive(Debug, Default)]
pub(crate) struct FileContent {
    pub(crate) settings: Vec<(&'static Key, Setting, usize)>,
    pub(crate) faults: Vec<String>,
}

/// Reads a configuration file; none when there is none.
pub(crate) fn read(path: &Path) -> Option<FileContent> {
    let fault = |what: String| {
        Some(FileContent {
            faults: vec![format!("{}: {what}", path.display())],
            ..Default::default()
        })
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return fault(format!("cannot be read: {error}")),
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
            return fault(format!("is larger than {MAX_FILE_BYTES} bytes"));
        }
        Ok(_) => {}
    }
    match std::fs::read_to_string(path) {
        Err(error) => fault(format!("cannot be read: {error}")),
        Ok(text) => Some(Reader { path, text: &text, content: FileContent::default() }.read()),
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    content: FileContent,
}

impl Reader<'_> {
    fn read(mut self) -> FileContent {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.fault(error.span().unwrap_or_default(), error.message());
        }
        for (name, value) in root.get_ref() {
            let (at, name) = (name.span(), name.get_ref().as_ref());
            if !Key::sections().any(|section| section == name) {
                self.fault(at, unknown("section", name, Key::sections()));
            } else if let DeValue::Table(table) = value.get_ref() {
                self.section(name, table);
            } else {
                self.fault(value.span(), format!("`{name}` is a section: write `[{name}]`"));
            }
        }
        self.content
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = format!("{section}.{}", name.get_ref());
            let Some(key) = Key::find(&path) else {
                let known = keys().filter(|key| key.section() == section).map(Key::name);
                self.fault(name.span(), unknown("key", name.get_ref(), known));
                continue;
            };
            match setting(key.kind, value) {
                Ok(Setting::Path(relative)) => {
                    let base = self.path.parent().unwrap_or(Path::new(""));
                    self.set(key, Setting::Path(base.join(relative)), value);
                }
                Ok(setting) => self.set(key, setting, value),
                Err(what) => self.fault(value.span(), format!("{path}: {what}")),
            }
        }
    }

    fn set(&mut self, key: &'static Key, setting: Setting, value: &Spanned<DeValue<'_>>) {
        let line = self.position(value.span().start).0;
        self.content.settings.push((key, setting, line));
    }

    fn fault(&mut self, at: Range<usize>, what: impl AsRef<str>) {
        let (line, column) = self.position(at.start);
        let path = self.path.display();
        self.content.faults.push(format!("{path}:{line}:{column}: {}", what.as_ref()));
    }

    /// Line and column, both from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }
}

fn setting(kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<Setting, String> {
    let wrong = |found: &str| format!("takes {}, not {found}", kind.describe());
    match (kind, value.get_ref()) {
        (Kind::Count(least, most), DeValue::Integer(integer)) => {
            let number = u64::from_str_radix(integer.as_str(), integer.radix())
                .map_err(|_| format!("`{}` is not a whole number in range", integer.as_str()))?;
            Kind::count(number, least, most)
        }
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Setting::Flag(*flag)),
        (Kind::List(form), DeValue::Array(array)) => {
            let texts: Option<Vec<&str>> = array.iter().map(|one| one.get_ref().as_str()).collect();
            let texts = texts.ok_or_else(|| wrong("a list of something else"))?;
            Kind::list(form, texts.into_iter())
        }
        (Kind::Count(..) | Kind::Flag | Kind::List(_), found) => Err(wrong(found.type_str())),
        (kind, DeValue::String(text)) => kind.read(text),
        (Kind::Size | Kind::Duration, DeValue::Integer(number)) => kind.read(number.as_str()),
        (_, found) => Err(wrong(found.type_str())),
    }
}

/// What to say of a name that does not exist.
pub(super) fn unknown(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'static str> + Clone,
) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => {
            let known: Vec<_> = known.collect();
            format!("there is no {what} `{name}`; there are: {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> FileContent {
        Reader { path: Path::new("dir/sandmill.toml"), text, content: FileContent::default() }
            .read()
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let content = content(
            "[executor]\nkind = \"pool\"\nslots = 8\n[limits]\ntimeout = \"2s\"\nmemory = \"1MiB\"\n\
             [cache]\nenabled = false\ndirectory = \"c\"\n",
        );
        assert_eq!(content.faults, Vec::<String>::new());
        let shown: Vec<_> = content
            .settings
            .iter()
            .map(|(key, setting, line)| format!("{}={setting}@{line}", key.path))
            .collect();
        assert_eq!(
            shown,
            [
                "executor.kind=pool@2",
                "executor.slots=8@3",
                "limits.timeout=2s@5",
                "limits.memory=1MiB@6",
                "cache.enabled=false@8",
                "cache.directory=dir/c@9"
            ]
        );
    }

    #[test]
    fn all_faults_come_at_once_with_their_places() {
        let content = content(
            "[executer]\nslots = 1\n[limits]\ntimeot = \"2s\"\nmemory = 64\nfuel = \"9\"\n\
             [executor]\nslots = 0\n",
        );
        let places: Vec<_> =
            content.faults.iter().map(|fault| fault.split(':').nth(1).unwrap()).collect();
        assert_eq!(places, ["1", "4", "5", "6", "8"], "{:#?}", content.faults);
        assert!(content.faults[0].contains("did you mean `executor`?"), "{}", content.faults[0]);
        assert!(content.faults[1].contains("did you mean `timeout`?"), "{}", content.faults[1]);
    }

    #[test]
    fn a_syntax_error_has_a_place() {
        let content = content("[limits\ntimeout = ");
        assert!(content.faults[0].starts_with("dir/sandmill.toml:1:"), "{:?}", content.faults);
    }
}
