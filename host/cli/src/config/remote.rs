//! The configuration of other hosts, typed, and what of it does not go together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sandmill::core::Ceiling;
use sandmill::core::units::format_duration;
use sandmill::executors::remote::direct::SILENT_HEARTBEATS;
use sandmill::executors::worker::DEFAULT_MAX_GRACE;
use sandmill::scheduler::{Adapt, parse_resource};
use sandmill::transport::Address;

use super::form::{self, ANY};
use super::key::{Key, Setting};
use super::layers::{Layers, Origin};

/// The longest time between two words of a coordinator: workers take a link for broken where they
/// hear nothing for three of these.
const MAX_HEARTBEAT: Duration = Duration::from_secs(60);

/// How one side is known to the other: by files, by a token, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The certificate.
    pub(crate) cert: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
    /// The authority that is taken.
    pub(crate) ca: Option<PathBuf>,
    /// A join token, or `@FILE`.
    pub(crate) token: Option<String>,
}

/// Which hosts a remote executor has.
#[derive(Debug, Clone)]
pub(crate) struct RemoteConfig {
    /// Workers that are there.
    pub(crate) hosts: Vec<Address>,
    /// Workers to be started here.
    pub(crate) workers: Option<usize>,
    /// Bounds of their number.
    pub(crate) adapt: Option<Adapt>,
    /// How this side is known.
    pub(crate) credentials: Credentials,
    /// How long a start waits for the first host.
    pub(crate) connect_timeout: Duration,
    /// How often both sides say that they are there.
    pub(crate) heartbeat: Duration,
    /// How long a host that is not heard of keeps its runs.
    pub(crate) lease: Duration,
    /// How long a worker goes on after its link broke.
    pub(crate) grace: Duration,
    /// Whether flags of this command line name hosts, workers or an engine.
    pub(crate) by_flag: bool,
}

/// What a worker on this host is.
#[derive(Debug, Clone)]
pub(crate) struct WorkerConfig {
    pub(crate) listen: Vec<Address>,
    pub(crate) slots: usize,
    pub(crate) name: Option<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) resources: Vec<(String, f64)>,
    pub(crate) ceiling: Ceiling,
    pub(crate) credentials: Credentials,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) grace: Duration,
}

/// Values of keys, by their kinds.
pub(super) struct Values<'a>(pub(super) &'a Layers);

impl Values<'_> {
    fn get(&self, path: &str) -> Option<Setting> {
        Key::find(path).and_then(|key| self.0.get(key).0)
    }

    fn list(&self, path: &str) -> Vec<String> {
        match self.get(path) {
            Some(Setting::List(texts)) => texts,
            _ => Vec::new(),
        }
    }

    /// What the texts of a list stand for; they were checked when they were read.
    fn parsed<T: std::str::FromStr>(&self, path: &str) -> Vec<T> {
        self.list(path).iter().filter_map(|text| text.parse().ok()).collect()
    }

    pub(super) fn count(&self, path: &str) -> Option<usize> {
        match self.get(path) {
            Some(Setting::Count(count)) => Some(usize::try_from(count).unwrap_or(usize::MAX)),
            _ => None,
        }
    }

    fn duration(&self, path: &str) -> Duration {
        match self.get(path) {
            Some(Setting::Duration(duration)) => duration,
            _ => Duration::ZERO,
        }
    }

    fn size(&self, path: &str) -> u64 {
        match self.get(path) {
            Some(Setting::Size(bytes)) => bytes,
            _ => 0,
        }
    }

    fn flag(&self, path: &str) -> bool {
        self.get(path) == Some(Setting::Flag(true))
    }

    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        match self.get(path) {
            Some(Setting::Path(path)) => Some(path),
            _ => None,
        }
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.get(path) {
            Some(Setting::Text(text) | Setting::Secret(text) | Setting::Engine(text)) => Some(text),
            _ => None,
        }
    }

    fn credentials(&self, section: &str) -> Credentials {
        let at = |name: &str| format!("{section}.{name}");
        Credentials {
            cert: self.path(&at("cert")),
            key: self.path(&at("key")),
            ca: self.path(&at("ca")),
            token: self.text(&at("token")),
        }
    }
}

impl RemoteConfig {
    pub(super) fn of(layers: &Layers) -> Self {
        let values = Values(layers);
        let flagged = |path: &&str| matches!(layers.origin(path), Origin::Flag);
        Self {
            hosts: values.parsed("remote.hosts"),
            workers: values.count("remote.workers"),
            adapt: adapt(layers),
            credentials: values.credentials("remote"),
            connect_timeout: values.duration("remote.connect_timeout"),
            heartbeat: values.duration("remote.heartbeat"),
            lease: values.duration("remote.lease"),
            grace: values.duration("remote.grace"),
            by_flag: ["remote.hosts", "remote.workers", "engine.url"].iter().any(flagged),
        }
    }
}

/// The bounds of the number of local workers, where something sets one.
fn adapt(layers: &Layers) -> Option<Adapt> {
    let values = Values(layers);
    let (min, max) = (values.count("adapt.min"), values.count("adapt.max"));
    if min.is_none() && max.is_none() {
        return None;
    }
    let slots = values.count("executor.slots").unwrap_or(1);
    let max = max.unwrap_or_else(|| slots.max(min.unwrap_or(1)));
    Some(Adapt {
        min: min.unwrap_or_else(|| max.min(1)),
        max,
        interval: values.duration("adapt.interval"),
        idle_timeout: values.duration("adapt.idle_timeout"),
        cooldown: values.duration("adapt.cooldown"),
    })
}

impl WorkerConfig {
    pub(super) fn of(layers: &Layers) -> Self {
        let values = Values(layers);
        let any = |path: &str| values.list(path).iter().any(|text| text == ANY);
        let dirs = values.list("worker.allow_dir");
        let resources = values.list("worker.resource");
        let amount = |text: &String| parse_resource(text).ok().map(|(key, it)| (key, it.get()));
        // A worker of an engine needs to be reached by nobody.
        let elsewhere = layers.explicit("engine.url").is_some();
        let listens = !elsewhere || layers.explicit("worker.listen").is_some();
        Self {
            listen: if listens { values.parsed("worker.listen") } else { Vec::new() },
            slots: values.count("worker.slots").unwrap_or(1),
            name: values.text("worker.name"),
            labels: values.list("worker.label"),
            resources: resources.iter().filter_map(amount).collect(),
            ceiling: Ceiling {
                clock: values.flag("worker.allow_clock"),
                random: values.flag("worker.allow_random"),
                env: values.list("worker.allow_env"),
                dirs: dirs.iter().filter_map(|text| form::directory(text).ok()).collect(),
                net: values.parsed("worker.allow_net"),
                any_net: any("worker.allow_net"),
                http: values.parsed("worker.allow_http"),
                any_http: any("worker.allow_http"),
                memory: values.size("worker.max_memory"),
                timeout: values.duration("worker.max_timeout"),
                transfer: values.size("worker.max_transfer"),
                handles: values
                    .count("worker.max_handles")
                    .map_or(0, |most| u32::try_from(most).unwrap_or(u32::MAX)),
            },
            credentials: values.credentials("worker"),
            http: values.text("worker.http").and_then(|text| form::socket(&text).ok()),
            grace: values.duration("worker.grace"),
        }
    }
}

/// What is set and does not go together, each with where it is set.
pub(super) fn conflicts(layers: &Layers) -> Vec<String> {
    let set = |path: &str| layers.explicit(path).is_some();
    let at = |path: &str| format!("`{path}` ({})", layers.origin(path));
    let mut faults = Vec::new();
    let named =
        matches!(layers.explicit("remote.hosts"), Some(Setting::List(it)) if !it.is_empty());
    for spawn in ["remote.workers", "adapt.min", "adapt.max"] {
        if named && set(spawn) {
            let (hosts, spawn) = (at("remote.hosts"), at(spawn));
            faults.push(format!(
                "{hosts} and {spawn} exclude each other: either the workers are there, or they are \
                 started here"
            ));
        }
    }
    for section in ["remote", "worker"] {
        let files = ["cert", "key", "ca"].map(|name| format!("{section}.{name}"));
        let token = format!("{section}.token");
        let given: Vec<&String> = files.iter().filter(|path| set(path)).collect();
        if let Some(first) = given.first() {
            if set(&token) {
                let (file, token) = (at(first), at(&token));
                faults.push(format!(
                    "{file} and {token} exclude each other: certificates, or a join token"
                ));
            }
            let missing: Vec<String> =
                files.iter().filter(|path| !set(path)).map(|path| format!("`{path}`")).collect();
            if !missing.is_empty() {
                faults.push(format!("{} needs {} besides", at(first), missing.join(" and ")));
            }
        }
    }
    if let Some(Err(error)) = adapt(layers).map(|adapt| adapt.check()) {
        faults.push(format!("`adapt`: {error}"));
    }
    let remote = RemoteConfig::of(layers);
    let least = remote.heartbeat.saturating_mul(SILENT_HEARTBEATS + 1);
    if remote.heartbeat.is_zero() || remote.lease < least {
        faults.push(format!(
            "{} must be at least three times {}, which must be more than nothing",
            at("remote.lease"),
            at("remote.heartbeat")
        ));
    }
    for (path, set, most) in [
        ("remote.heartbeat", remote.heartbeat, MAX_HEARTBEAT),
        ("remote.grace", remote.grace, DEFAULT_MAX_GRACE),
    ] {
        if set > most {
            let most = format_duration(most);
            faults.push(format!("{} is at most {most}: workers keep to no more", at(path)));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_named() {
        for (settings, words) in [
            (
                &[("remote.hosts", "tls://a:1"), ("remote.workers", "2")][..],
                "`remote.workers` (flag)",
            ),
            (&[("remote.hosts", "tls://a:1"), ("adapt.max", "2")], "`adapt.max` (flag)"),
            (&[("worker.cert", "c"), ("worker.key", "k")], "needs `worker.ca` besides"),
            (
                &[
                    ("remote.cert", "c"),
                    ("remote.key", "k"),
                    ("remote.ca", "a"),
                    ("remote.token", "@t"),
                ],
                "or a join token",
            ),
            (&[("adapt.min", "3"), ("adapt.max", "2")], "above `max`"),
            (&[("remote.lease", "10s")], "three times"),
            (&[("remote.grace", "2days")], "`remote.grace` (flag) is at most 5m"),
            (&[("remote.heartbeat", "61s"), ("remote.lease", "1h")], "at most 1m"),
        ] {
            let faults = conflicts(&Layers::of_texts(settings));
            assert_eq!(faults.len(), 1, "{settings:?}: {faults:?}");
            assert!(faults[0].contains(words), "{faults:?}");
        }
        assert!(conflicts(&Layers::default()).is_empty());
    }

    #[test]
    fn the_load_is_followed_where_a_bound_is_set() {
        assert_eq!(adapt(&Layers::default()), None);
        let adapt = adapt(&Layers::of_texts(&[("adapt.max", "5")])).expect("it is set");
        assert_eq!((adapt.min, adapt.max), (1, 5));
    }

    #[test]
    fn a_worker_allows_what_is_said_and_nothing_else() {
        let worker = WorkerConfig::of(&Layers::of_texts(&[
            ("worker.allow_net", "a:1,*"),
            ("worker.allow_dir", "/data:rw"),
            ("worker.resource", "gpu=2"),
        ]));
        assert!(worker.ceiling.any_net && worker.ceiling.net.len() == 1);
        assert!(!worker.ceiling.any_http && !worker.ceiling.clock && worker.ceiling.env.is_empty());
        assert_eq!(worker.ceiling.dirs[0].access, sandmill::Access::ReadWrite);
        assert_eq!(worker.resources, [("gpu".to_owned(), 2.0)]);
        assert_eq!(worker.listen.len(), 1);
    }

    #[test]
    fn a_worker_of_an_engine_listens_where_that_is_said() {
        let engine = ("engine.url", "nats://a");
        assert!(WorkerConfig::of(&Layers::of_texts(&[engine])).listen.is_empty());
        let both = WorkerConfig::of(&Layers::of_texts(&[engine, ("worker.listen", "unix:/a")]));
        assert_eq!(both.listen.len(), 1);
    }
}
