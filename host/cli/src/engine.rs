//! The engine as the configuration names it, made into what is connected to, and what is said when
//! that does not do. What it carries is the executors'.

use std::path::PathBuf;
use std::time::Duration;

use sandmill::EngineConfig;
use sandmill::transport::engine::{Credentials, EngineError, EngineTls};

use crate::config::EngineSettings;
use crate::error::{CliError, Result};
use crate::remote::host_name;

/// Where more of it is said.
const HINT: &str = "docs/nats.md says how to run an engine";

/// The engine that is named, if one is; `patience` is how long it may take to answer.
pub(crate) fn config(
    settings: &EngineSettings,
    patience: Duration,
) -> Result<Option<EngineConfig>> {
    let Some(url) = settings.url() else {
        return match settings.by_flag.first() {
            None => Ok(None),
            Some(path) => Err(CliError::input("no engine is named")
                .detail(format!("--{} is for one", path.replace(['.', '_'], "-")))
                .hint("name it with --engine URL")),
        };
    };
    let mut config = EngineConfig::new(url).map_err(|error| engine_error(&error))?;
    config.name.clone_from(&settings.name);
    config.tenant.clone_from(&settings.tenant);
    config.replicas = settings.replicas;
    config.client = format!("sandmill {} process {}", host_name(), std::process::id());
    config.connect_timeout = patience;
    config.credentials = match (&settings.credentials, &settings.nkey) {
        (Some(file), _) => Credentials::File(readable("credentials", file)?),
        (None, Some(file)) => Credentials::NkeyFile(readable("NKey", file)?),
        (None, None) => Credentials::None,
    };
    let own = settings.cert.as_ref().zip(settings.key.as_ref());
    config.tls = EngineTls {
        ca: settings.ca.as_ref().map(|file| readable("authority", file)).transpose()?,
        own: own
            .map(|(cert, key)| Ok((readable("certificate", cert)?, readable("key", key)?)))
            .transpose()?,
    };
    config.check().map_err(|error| engine_error(&error))?;
    Ok(Some(config))
}

/// A file that can be opened.
fn readable(what: &str, path: &PathBuf) -> Result<PathBuf> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path.clone()),
        Err(error) => {
            let what = format!("the engine's {what} in `{}` cannot be read", path.display());
            Err(CliError::input(what).detail(error))
        }
    }
}

/// What to say of an executor that has no engine, because of this.
pub(crate) fn start_error(why: &str) -> CliError {
    CliError::infrastructure("the executor could not be opened").details(why.split("; ")).hint(HINT)
}

/// What to say of an engine that cannot be had.
pub(crate) fn engine_error(error: &EngineError) -> CliError {
    match error {
        EngineError::Config(words) => CliError::input(words),
        _ => CliError::infrastructure("the engine cannot be used")
            .details(error.to_string().split("; "))
            .hint(HINT),
    }
}
