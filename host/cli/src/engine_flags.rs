//! Flags that name an engine, and say how this side is known to it. They are the same for whoever
//! gives runs, makes runs, and looks on.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Form, Setting};
use crate::flags::Settings;

/// The engine between coordinators and workers.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "An engine between hosts (NATS JetStream)")]
pub(crate) struct EngineFlags {
    /// The URLs of its servers, with commas between them: nats://HOST:PORT or tls://HOST:PORT. A
    /// password is safer in SANDMILL_ENGINE__URL or a file: others on this machine can see command
    /// lines.
    #[arg(long, value_name = "URL", value_parser = |text: &str| Form::Engine.check(text))]
    pub(crate) engine: Option<String>,
    /// What everything there is named by: whoever has the same name shares the same work.
    /// [default: sandmill]
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Form::EnginePart.check(text))]
    engine_name: Option<String>,
    /// A further part of that name, so that several share one account.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Form::EnginePart.check(text))]
    engine_tenant: Option<String>,
    /// On how many servers each thing is kept, 1 to 5. By default as it is there, or on one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=5))]
    engine_replicas: Option<u64>,
    /// A file with a user's JWT and seed, as `nsc` makes it, by which the engine knows this side.
    #[arg(long, value_name = "FILE", conflicts_with = "engine_nkey")]
    engine_credentials: Option<PathBuf>,
    /// A file with the seed of an NKey, for the same.
    #[arg(long, value_name = "FILE")]
    engine_nkey: Option<PathBuf>,
    /// The authority whose servers are taken, besides those of the system.
    #[arg(long, value_name = "FILE")]
    engine_ca: Option<PathBuf>,
    /// The certificate that is shown to the engine.
    #[arg(long, value_name = "FILE", requires = "engine_key")]
    engine_cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "engine_cert")]
    engine_key: Option<PathBuf>,
}

impl EngineFlags {
    /// The flags as settings.
    pub(crate) fn settings(&self) -> Settings {
        let text = |text: &Option<String>| text.clone().map(Setting::Text);
        let path = |path: &Option<PathBuf>| path.clone().map(Setting::Path);
        [
            ("engine.url", self.engine.clone().map(Setting::Engine)),
            ("engine.name", text(&self.engine_name)),
            ("engine.tenant", text(&self.engine_tenant)),
            ("engine.replicas", self.engine_replicas.map(Setting::Count)),
            ("engine.credentials", path(&self.engine_credentials)),
            ("engine.nkey", path(&self.engine_nkey)),
            ("engine.ca", path(&self.engine_ca)),
            ("engine.cert", path(&self.engine_cert)),
            ("engine.key", path(&self.engine_key)),
        ]
        .into_iter()
        .filter_map(|(path, setting)| setting.map(|setting| (path, setting)))
        .collect()
    }
}
