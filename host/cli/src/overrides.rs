//! What the command line says over what a flow says: limits, grants, retries, cache, and where its
//! runs happen. It is kept with the flow's run, so that a resumed one goes on under the same.

use std::collections::BTreeMap;
use std::time::Duration;

use sandmill::core::TraceContext;
use sandmill::core::units::parse_duration;
use sandmill::{CallOptions, Grants, LimitOverrides};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::config::{Config, ExecutorKind, IsolationChoice, Key, Layers, Setting};
use crate::flags::Settings;

/// What the command line says over what a flow says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Overrides {
    /// Limits as the configuration writes them: `limits.timeout` and so on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) limits: BTreeMap<String, String>,
    /// Besides what the flow grants.
    #[serde(skip_serializing_if = "Grants::is_empty")]
    pub(crate) grants: Grants,
    /// How many times a task is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retries: Option<u32>,
    /// How long a run may wait for a slot.
    #[serde(skip_serializing_if = "Option::is_none", with = "optional_duration")]
    pub(crate) queue_timeout: Option<Duration>,
    /// Whether results may come from the cache; none where the flow says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<bool>,
    /// How long the flow may take, each time that it is started or resumed.
    #[serde(skip_serializing_if = "Option::is_none", with = "optional_duration")]
    pub(crate) flow_timeout: Option<Duration>,
    /// The trace that its runs are part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<TraceContext>,
    /// Where its runs happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) executor: Option<String>,
    /// Runs that go on at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slots: Option<u64>,
    /// What keeps the runs of the pool apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<String>,
    /// The addresses of workers. Secrets are not kept: whoever goes on gives them again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<String>,
    /// Local workers in place of hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workers: Option<u64>,
    /// An engine in place of hosts, without passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<String>,
    /// What everything there is named by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine_name: Option<String>,
    /// A further part of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine_tenant: Option<String>,
}

impl Overrides {
    /// Limits and the place of runs, as flags set them.
    pub(crate) fn of_settings(settings: &Settings) -> Self {
        let mut overrides = Self::default();
        for (path, setting) in settings {
            match (*path, setting) {
                ("executor.kind", setting) => overrides.executor = Some(setting.to_string()),
                ("executor.slots", Setting::Count(slots)) => overrides.slots = Some(*slots),
                ("executor.isolation", setting) => overrides.isolation = Some(setting.to_string()),
                ("remote.hosts", Setting::List(hosts)) => overrides.hosts.clone_from(hosts),
                ("remote.workers", Setting::Count(count)) => overrides.workers = Some(*count),
                ("engine.url", setting) => overrides.engine = Some(setting.to_string()),
                ("engine.name", setting) => overrides.engine_name = Some(setting.to_string()),
                ("engine.tenant", setting) => overrides.engine_tenant = Some(setting.to_string()),
                (path, setting) if path.starts_with("limits.") => {
                    overrides.limits.insert(path.to_owned(), setting.to_string());
                }
                _ => {}
            }
        }
        overrides
    }

    /// Reads what [`Overrides::to_json`] wrote.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let overrides: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        overrides.limit_settings().map(|_| overrides)
    }

    /// As it is kept with a flow's run.
    pub(crate) fn to_json(&self) -> String {
        // Text, numbers and lists of them always have a JSON form.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// Whether they say anything of calls.
    pub(crate) fn touch_calls(&self) -> bool {
        !self.limits.is_empty()
            || !self.grants.is_empty()
            || self.retries.is_some()
            || self.queue_timeout.is_some()
            || self.cache.is_some()
            || self.trace.is_some()
    }

    /// The configuration with the place of runs as it was when the flow was started, unless this
    /// command line says otherwise.
    pub(crate) fn place(&self, config: &mut Config, flags: &Settings) {
        let said = |path: &str| flags.iter().any(|(flag, _)| *flag == path);
        if let Some(word) = self.executor.as_deref().filter(|_| !said("executor.kind")) {
            config.executor = ExecutorKind::named(word).or(config.executor);
        }
        if let Some(slots) = self.slots.filter(|_| !said("executor.slots")) {
            config.slots = usize::try_from(slots).unwrap_or(config.slots);
        }
        if let Some(word) = self.isolation.as_deref().filter(|_| !said("executor.isolation")) {
            config.isolation = IsolationChoice::named(word).unwrap_or(config.isolation);
        }
        let places = ["remote.hosts", "remote.workers", "engine.url", "executor.kind"];
        if !places.into_iter().any(said) {
            let (remote, engine) = (&mut config.remote, &mut config.engine);
            if let Some(url) = &self.engine {
                remote.hosts.clear();
                (remote.workers, remote.adapt) = (None, None);
                engine.be_at(url);
                if let Some(name) = self.engine_name.as_ref().filter(|_| !said("engine.name")) {
                    engine.name.clone_from(name);
                }
                if !said("engine.tenant") {
                    engine.tenant = self.engine_tenant.clone().or(engine.tenant.take());
                }
            } else if !self.hosts.is_empty() {
                engine.clear();
                remote.hosts = self.hosts.iter().filter_map(|text| text.parse().ok()).collect();
                (remote.workers, remote.adapt) = (None, None);
            } else if let Some(workers) = self.workers {
                engine.clear();
                remote.hosts.clear();
                remote.workers = usize::try_from(workers).ok();
            }
        }
    }

    fn limit_settings(&self) -> Result<Settings, String> {
        self.limits
            .iter()
            .map(|(path, text)| {
                let key = Key::find(path).ok_or_else(|| format!("there is no key `{path}`"))?;
                Ok((key.path, key.kind.read(text)?))
            })
            .collect()
    }

    fn limits(&self) -> LimitOverrides {
        Config::of(&Layers::of_flags(self.limit_settings().unwrap_or_default())).limits
    }

    /// The options of a call with these over them.
    pub(crate) fn apply(&self, options: &CallOptions) -> CallOptions {
        let mut retries = options.retries.clone();
        retries.retries = self.retries.unwrap_or(retries.retries);
        let grants = options.grants.clone().and(&self.grants);
        let cache = match self.cache {
            Some(false) => None,
            // Without a key only what nothing is granted to can be cached.
            Some(true) if grants.is_empty() => Some(options.cache.clone().unwrap_or_default()),
            _ => options.cache.clone(),
        };
        CallOptions {
            limits: self.limits().over(&options.limits),
            grants,
            retries,
            queue_timeout: self.queue_timeout.or(options.queue_timeout),
            cache,
            trace: self.trace.or(options.trace),
            ..options.clone()
        }
    }
}

/// Durations as text with units.
mod optional_duration {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|duration| humantime::format_duration(duration).to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse_duration(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandmill::DirGrant;

    fn full() -> Overrides {
        let dir: DirGrant = "/a::/x".parse().expect("it is a directory");
        Overrides {
            grants: Grants { dirs: vec![dir], ..Grants::default() },
            retries: Some(3),
            queue_timeout: Some(Duration::from_millis(1500)),
            flow_timeout: Some(Duration::from_secs(60)),
            trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok(),
            ..Overrides::of_settings(&vec![
                ("limits.timeout", Setting::Duration(Duration::from_secs(1))),
                ("limits.memory", Setting::Size(1 << 30)),
                ("executor.kind", Setting::Choice("inline")),
                ("executor.slots", Setting::Count(3)),
                ("executor.isolation", Setting::Choice("processes")),
                ("remote.hosts", Setting::List(vec!["tls://a:7070".to_owned()])),
                ("remote.token", Setting::Secret("smj1.sesame".to_owned())),
                ("engine.url", Setting::Engine("nats://u:sesame@a".to_owned())),
                ("engine.name", Setting::Text("blue".to_owned())),
                ("output.logs", Setting::Choice("off")),
            ])
        }
    }

    #[test]
    fn overrides_read_back_as_they_are_kept() {
        for overrides in [Overrides::default(), full()] {
            assert_eq!(Overrides::from_json(&overrides.to_json()), Ok(overrides));
        }
        assert_eq!(Overrides::default().to_json(), "{}");
        assert!(!full().to_json().contains("sesame"), "a secret is kept");
        assert!(Overrides::from_json(r#"{"limits":{"limits.colour":"1s"}}"#).is_err());
        assert!(Overrides::from_json("no json").is_err());
    }

    #[test]
    fn a_flow_goes_on_at_its_engine_with_the_password_of_now() {
        let kept = full();
        let at = |settings: &[(&'static str, Setting)]| {
            let mut config = Config::of(&Layers::of_flags(settings.iter().cloned()));
            kept.place(&mut config, &Settings::new());
            config
        };
        let config = at(&[("engine.url", Setting::Engine("nats://v:open@a".to_owned()))]);
        assert_eq!(config.engine.url(), Some("nats://v:open@a"));
        assert!(config.engine.name == "blue" && config.remote.hosts.is_empty());
        let other = at(&[("engine.url", Setting::Engine("nats://b".to_owned()))]);
        assert_eq!(other.engine.url(), Some("nats://a"));
        let mut config = Config::of(&Layers::default());
        let flags = vec![("remote.hosts", Setting::List(vec!["unix:/a".to_owned()]))];
        kept.place(&mut config, &flags);
        assert!(!config.engine.is_named());
    }

    #[test]
    fn flags_win_and_the_rest_stays() {
        let mut options = CallOptions::default();
        options.limits.fuel = Some(7);
        options.grants.clock = true;
        options.retries.jitter = 0.5;
        let made = full().apply(&options);
        assert_eq!((made.limits.timeout, made.limits.memory), (Duration::from_secs(1), 1 << 30));
        assert_eq!(made.limits.fuel, Some(7));
        assert!(made.grants.clock && made.grants.dirs.len() == 1);
        assert_eq!((made.retries.retries, made.retries.jitter), (3, 0.5));
        assert_eq!(made.cache, None);
        let caching = Overrides { cache: Some(true), ..Overrides::default() };
        assert!(caching.apply(&CallOptions::default()).cache.is_some());
        assert!(caching.apply(&options).cache.is_none(), "what is granted to needs a key");
    }
}
