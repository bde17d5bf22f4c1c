//! The configuration of the engine, typed, and what of it does not go together. How it is connected
//! to is in `crate::engine`.

use std::fmt;
use std::path::PathBuf;

use super::form::shown_engine;
use super::key::Setting;
use super::layers::{Layers, Origin};
use super::remote::Values;

/// The engine, where there is one, and how this side is known to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct EngineSettings {
    /// The URLs of its servers, maybe with a password.
    url: Option<String>,
    /// What everything there is named by.
    pub(crate) name: String,
    /// A further part of that.
    pub(crate) tenant: Option<String>,
    /// On how many servers each thing is kept.
    pub(crate) replicas: Option<usize>,
    /// A user's JWT and seed.
    pub(crate) credentials: Option<PathBuf>,
    /// The seed of an NKey.
    pub(crate) nkey: Option<PathBuf>,
    /// The authority whose servers are taken.
    pub(crate) ca: Option<PathBuf>,
    /// The certificate of this side.
    pub(crate) cert: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
    /// What flags of this command line say of it.
    pub(crate) by_flag: Vec<&'static str>,
}

/// The keys of the engine besides its URLs.
const PARTS: [&str; 8] = [
    "engine.name",
    "engine.tenant",
    "engine.replicas",
    "engine.credentials",
    "engine.nkey",
    "engine.ca",
    "engine.cert",
    "engine.key",
];

impl EngineSettings {
    pub(super) fn of(layers: &Layers) -> Self {
        let values = Values(layers);
        let flagged = |path: &&'static str| matches!(layers.origin(path), Origin::Flag);
        Self {
            url: values.text("engine.url"),
            name: values.text("engine.name").unwrap_or_default(),
            tenant: values.text("engine.tenant"),
            replicas: values.count("engine.replicas"),
            credentials: values.path("engine.credentials"),
            nkey: values.path("engine.nkey"),
            ca: values.path("engine.ca"),
            cert: values.path("engine.cert"),
            key: values.path("engine.key"),
            by_flag: PARTS.iter().copied().filter(flagged).collect(),
        }
    }

    /// Whether there is one.
    pub(crate) const fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// The URLs of its servers, with what only they may know.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The same for people: without passwords.
    pub(crate) fn shown(&self) -> Option<String> {
        self.url.as_deref().map(shown_engine)
    }

    /// There is none.
    pub(crate) fn clear(&mut self) {
        self.url = None;
    }

    /// It is the one at these URLs, which have no passwords: they are taken from what is known of
    /// the same one.
    pub(crate) fn be_at(&mut self, shown: &str) {
        if self.shown().as_deref() != Some(shown) {
            self.url = Some(shown.to_owned());
        }
    }
}

impl fmt::Debug for EngineSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineSettings")
            .field("url", &self.shown())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What is set of an engine and does not go together, each with where it is set.
pub(super) fn conflicts(layers: &Layers) -> Vec<String> {
    let set = |path: &str| match layers.explicit(path) {
        Some(Setting::List(texts)) => !texts.is_empty(),
        other => other.is_some(),
    };
    let at = |path: &str| format!("`{path}` ({})", layers.origin(path));
    let mut faults = Vec::new();
    let mut exclude = |one: &str, other: &str, why: &str| {
        if set(one) && set(other) {
            faults.push(format!("{} and {} exclude each other: {why}", at(one), at(other)));
        }
    };
    exclude(
        "engine.url",
        "remote.hosts",
        "runs go through an engine, or to hosts by their addresses",
    );
    for path in ["remote.workers", "adapt.min", "adapt.max"] {
        exclude("engine.url", path, "the workers of an engine are there, and not started here");
    }
    exclude("engine.credentials", "engine.nkey", "this side is known by one of them");
    for (one, other) in [("engine.cert", "engine.key"), ("engine.key", "engine.cert")] {
        if set(one) && !set(other) {
            faults.push(format!("{} needs `{other}` besides", at(one)));
        }
    }
    if let Some(Setting::Engine(urls)) = layers.explicit("engine.url") {
        let url = at("engine.url");
        for path in ["engine.credentials", "engine.nkey"] {
            if urls.contains('@') && set(path) {
                faults.push(format!(
                    "{url} and {} exclude each other: there is a user in the URL already",
                    at(path)
                ));
            }
        }
        for name in ["cert", "key", "ca", "token"] {
            let path = format!("remote.{name}");
            if matches!(layers.origin(&path), Origin::Flag) {
                faults.push(format!(
                    "{} is for hosts at tls:// addresses, and runs go through {url}",
                    at(&path)
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_named_without_passwords() {
        let url = ("engine.url", "nats://u:sesame@a");
        for (settings, words) in [
            (&[url, ("remote.hosts", "tls://a:1")][..], "`remote.hosts` (flag)"),
            (&[url, ("remote.workers", "2")], "`remote.workers` (flag)"),
            (&[url, ("adapt.max", "2")], "`adapt.max` (flag)"),
            (&[url, ("engine.nkey", "k")], "a user in the URL"),
            (&[url, ("remote.token", "@t")], "is for hosts at tls://"),
            (&[("engine.nkey", "k"), ("engine.credentials", "c")], "known by one"),
            (&[("engine.cert", "c")], "needs `engine.key` besides"),
        ] {
            let faults = conflicts(&Layers::of_texts(settings));
            assert_eq!(faults.len(), 1, "{settings:?}: {faults:?}");
            assert!(faults[0].contains(words) && !faults[0].contains("sesame"), "{faults:?}");
        }
        assert!(conflicts(&Layers::of_texts(&[url])).is_empty());
        assert!(!format!("{:?}", EngineSettings::of(&Layers::of_texts(&[url]))).contains("sesame"));
    }

    #[test]
    fn the_password_of_the_same_engine_is_kept() {
        let mut engine =
            EngineSettings::of(&Layers::of_texts(&[("engine.url", "nats://u:sesame@a")]));
        engine.be_at("nats://a");
        assert_eq!(engine.url(), Some("nats://u:sesame@a"));
        engine.be_at("nats://b");
        assert_eq!(engine.url(), Some("nats://b"));
    }
}
