//! The layers of the configuration, in order: flag, environment, `./sandmill.toml`, the user's
//! file, default. The first that says something about a key wins, also over other keys that it
//! excludes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::key::{Key, Setting};
use super::{engine, environment, exclusive, file, remote};
use crate::error::{CliError, Result};

/// What each key is set to, by which layer.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    settings: BTreeMap<&'static str, (Setting, Origin)>,
    /// The files that were looked for, and whether they are there.
    pub(crate) files: Vec<(PathBuf, bool)>,
    /// Everything that is wrong with the layers.
    pub(crate) faults: Vec<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag of this command line.
    Flag,
    /// The environment variable of this name.
    Environment(String),
    /// A line of a file.
    File(PathBuf, usize),
    /// Nothing sets it.
    Default,
}

impl Origin {
    /// One word for the layer, as in JSON output.
    pub(crate) const fn layer(&self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment(_) => "environment",
            Self::File(..) => "file",
            Self::Default => "default",
        }
    }

    /// Whether both come from one layer.
    fn is_layer_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one, _), Self::File(other, _)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Layers {
    /// The flags alone.
    pub(crate) fn of_flags(flags: impl IntoIterator<Item = (&'static str, Setting)>) -> Self {
        let mut layers = Self::default();
        for (path, setting) in flags {
            layers.set(path, setting, Origin::Flag);
        }
        layers
    }

    /// Flags with these texts, which are right.
    #[cfg(test)]
    pub(super) fn of_texts(flags: &[(&'static str, &str)]) -> Self {
        Self::of_flags(flags.iter().map(|(path, text)| {
            let key = Key::find(path).expect("it is a key");
            (key.path, key.kind.read(text).expect("it is a value"))
        }))
    }

    /// Reads every layer. Faults are kept, not raised: see [`Layers::checked`].
    pub(crate) fn read(flags: impl IntoIterator<Item = (&'static str, Setting)>) -> Self {
        let mut layers = Self::of_flags(flags);
        let content = environment::read(std::env::vars_os());
        layers.faults.extend(content.faults);
        for (key, setting, name) in content.settings {
            layers.set(key.path, setting, Origin::Environment(name));
        }
        layers.file(Path::new(file::PROJECT_FILE));
        if let Some(path) = file::user_file() {
            layers.file(&path);
        }
        let conflicts = [remote::conflicts(&layers), engine::conflicts(&layers)].concat();
        layers.faults.extend(conflicts);
        layers
    }

    /// The layers, where nothing is wrong with them.
    pub(crate) fn checked(self) -> Result<Self> {
        if self.faults.is_empty() {
            return Ok(self);
        }
        Err(CliError::input(format!("the configuration has {}", faults(self.faults.len())))
            .details(self.faults)
            .hint("docs/cli.md lists every key; `sandmill config check` looks again"))
    }

    fn file(&mut self, path: &Path) {
        let content = file::read(path);
        self.files.push((path.to_owned(), content.is_some()));
        let content = content.unwrap_or_default();
        self.faults.extend(content.faults);
        for (key, setting, line) in content.settings {
            self.set(key.path, setting, Origin::File(path.to_owned(), line));
        }
    }

    fn set(&mut self, path: &'static str, setting: Setting, origin: Origin) {
        debug_assert!(Key::find(path).is_some(), "{path} is no key");
        let mut rivals = exclusive::rivals(path).filter_map(|rival| self.settings.get(rival));
        let is_set_aside = rivals.any(|(_, other)| !other.is_layer_of(&origin));
        if !is_set_aside {
            self.settings.entry(path).or_insert((setting, origin));
        }
    }

    /// What the key is set to, and by what; no value where the default depends on the command.
    pub(crate) fn get(&self, key: &Key) -> (Option<Setting>, Origin) {
        match self.settings.get(key.path) {
            Some((setting, origin)) => (Some(setting.clone()), origin.clone()),
            None => (key.default(), Origin::Default),
        }
    }

    /// What sets the key.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        self.settings.get(path).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// What a layer other than the default sets the key to.
    pub(crate) fn explicit(&self, path: &str) -> Option<&Setting> {
        self.settings.get(path).map(|(setting, _)| setting)
    }
}

fn faults(count: usize) -> String {
    if count == 1 { "a fault".to_owned() } else { format!("{count} faults") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_layer_wins() {
        let mut layers = Layers::default();
        layers.set("executor.slots", Setting::Count(1), Origin::Flag);
        layers.set("executor.slots", Setting::Count(2), Origin::Environment("X".to_owned()));
        let key = Key::find("executor.slots").expect("it is there");
        assert_eq!(layers.get(key), (Some(Setting::Count(1)), Origin::Flag));
        let other = Key::find("cache.enabled").expect("it is there");
        assert_eq!(layers.get(other), (Some(Setting::Flag(true)), Origin::Default));
        assert_eq!(layers.explicit("cache.enabled"), None);
    }

    #[test]
    fn what_a_layer_excludes_is_set_aside_in_those_below_it() {
        let file = |name: &str, line| Origin::File(name.into(), line);
        let list = || Setting::List(vec!["tls://a:1".to_owned()]);
        let mut layers = Layers::default();
        layers.set("remote.workers", Setting::Count(2), Origin::Flag);
        layers.set("remote.hosts", list(), file("sandmill.toml", 1));
        assert_eq!(layers.explicit("remote.hosts"), None);
        assert!(remote::conflicts(&layers).is_empty());
        // Within a layer they are a fault.
        let mut layers = Layers::default();
        layers.set("remote.hosts", list(), file("sandmill.toml", 1));
        layers.set("remote.workers", Setting::Count(2), file("sandmill.toml", 2));
        assert_eq!(remote::conflicts(&layers).len(), 1);
        // What they do not exclude stays.
        layers.set("remote.token", Setting::Secret("t".to_owned()), file("config.toml", 7));
        assert!(layers.explicit("remote.token").is_some());
    }
}
