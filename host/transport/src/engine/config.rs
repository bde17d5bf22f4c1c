//! How an engine is reached, and the bounds of what is made there.

use std::path::PathBuf;
use std::time::Duration;

use super::error::EngineError;
use super::limits::{
    ACK_WAIT, COMPONENT_STORE_BYTES, DEFAULT_NAME, ENGINE_CONNECT_TIMEOUT, MAX_DELIVER, MAX_NAME,
    OUT_BYTES, OUT_MESSAGES_A_SESSION, VALUE_STORE_BYTES, WORK_BYTES, WORK_MESSAGES,
};

/// How an engine is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Its servers: `nats://HOST:PORT` or `tls://HOST:PORT`, with `USER:PASSWORD@` before the host
    /// where that is how the server knows who this is. All are of one cluster.
    pub urls: Vec<String>,
    /// The prefix of all names that are made there: lower-case letters, digits, `-`, `_`; at most
    /// [`MAX_NAME`]. Whoever has the same name shares the same work.
    pub name: String,
    /// A further part of the prefix, of the same letters, so that several share one account.
    pub tenant: Option<String>,
    /// How the server knows who this is, where that is not in the URL.
    pub credentials: Credentials,
    /// Certificates, where the server asks for them or is not known by those of the system.
    pub tls: EngineTls,
    /// On how many servers each thing is kept; none takes what is there, and makes it on one.
    pub replicas: Option<usize>,
    /// Who this is, for people who look at the server.
    pub client: String,
    /// See [`ENGINE_CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// Bounds; the same for everybody who uses the same name.
    pub bounds: EngineBounds,
}

/// How a server knows who this is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// By nothing, or by what is in the URL.
    #[default]
    None,
    /// By a file of a user's JWT and its seed, as `nsc` makes them.
    File(PathBuf),
    /// By the key whose seed is in this file.
    NkeyFile(PathBuf),
}

/// Certificates for the connection to a server, as PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineTls {
    /// Whose certificates of servers are trusted, in place of those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to the server, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Bounds of what is made in an engine. They are compared with what is there: whoever uses the same
/// name has to have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineBounds {
    /// See [`WORK_MESSAGES`].
    pub work_messages: i64,
    /// See [`WORK_BYTES`].
    pub work_bytes: i64,
    /// See [`OUT_MESSAGES_A_SESSION`].
    pub out_messages: i64,
    /// See [`OUT_BYTES`].
    pub out_bytes: i64,
    /// See [`COMPONENT_STORE_BYTES`].
    pub component_bytes: i64,
    /// See [`VALUE_STORE_BYTES`].
    pub value_bytes: i64,
    /// See [`ACK_WAIT`].
    pub ack_wait: Duration,
    /// See [`MAX_DELIVER`].
    pub max_deliver: i64,
}

impl Default for EngineBounds {
    fn default() -> Self {
        Self {
            work_messages: WORK_MESSAGES,
            work_bytes: WORK_BYTES,
            out_messages: OUT_MESSAGES_A_SESSION,
            out_bytes: OUT_BYTES,
            component_bytes: COMPONENT_STORE_BYTES,
            value_bytes: VALUE_STORE_BYTES,
            ack_wait: ACK_WAIT,
            max_deliver: MAX_DELIVER,
        }
    }
}

impl EngineConfig {
    /// The engine at these URLs, with commas between them, and defaults otherwise.
    ///
    /// # Errors
    /// When a URL is none.
    pub fn new(urls: &str) -> Result<Self, EngineError> {
        let config = Self {
            urls: urls.split(',').map(|url| url.trim().to_owned()).collect(),
            name: DEFAULT_NAME.to_owned(),
            tenant: None,
            credentials: Credentials::None,
            tls: EngineTls::default(),
            replicas: None,
            client: format!("sandmill {}", std::process::id()),
            connect_timeout: ENGINE_CONNECT_TIMEOUT,
            bounds: EngineBounds::default(),
        };
        config.check()?;
        Ok(config)
    }

    /// Whether it can be used at all.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), EngineError> {
        let wrong = |words: String| Err(EngineError::Config(words));
        for url in &self.urls {
            let rest = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
            if rest.is_none_or(str::is_empty) {
                let shown = without_password(url);
                return wrong(format!("{shown:?} is no engine: write nats://HOST:PORT"));
            }
        }
        for (what, name) in [("name", Some(&self.name)), ("tenant", self.tenant.as_ref())] {
            let Some(name) = name else { continue };
            let plain =
                name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
            if name.is_empty() || name.len() > MAX_NAME || !plain {
                return wrong(format!(
                    "{name:?} is no {what} for an engine: use 1 to {MAX_NAME} lower-case letters, \
                     digits, - and _"
                ));
            }
        }
        if self.replicas.is_some_and(|replicas| !(1..=5).contains(&replicas)) {
            return wrong("an engine keeps 1 to 5 replicas".to_owned());
        }
        Ok(())
    }

    /// The prefix of all names.
    #[must_use]
    pub fn prefix(&self) -> String {
        match &self.tenant {
            // A dot may not be in the name of a stream, and no name has two of these.
            Some(tenant) => format!("{}={tenant}", self.name).replace('=', "__"),
            None => self.name.clone(),
        }
    }

    /// Where it is, for people: without passwords.
    #[must_use]
    pub fn shown(&self) -> String {
        let urls: Vec<String> = self.urls.iter().map(|url| without_password(url)).collect();
        urls.join(",")
    }
}

impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("urls", &self.shown())
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}{}", &url[..scheme + 3], &url[at + 1..])
        }
        // One that was written wrongly may have one too.
        (_, Some(at)) => url[at + 1..].to_owned(),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_names_are_checked_and_passwords_not_shown() {
        assert!(EngineConfig::new("http://a").is_err());
        assert!(EngineConfig::new("").is_err());
        for wrong in ["u:secret@a:1", "nats:/u:secret@a:1", "http://u:secret@a"] {
            let error = EngineConfig::new(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains('a'), "{error}");
        }
        let mut config = EngineConfig::new("nats://u:secret@a:1, tls://b").unwrap();
        assert_eq!(config.shown(), "nats://a:1,tls://b");
        assert!(!format!("{config:?}").contains("secret"));
        assert_eq!(config.prefix(), "sandmill");
        config.tenant = Some("blue".to_owned());
        assert_eq!(config.prefix(), "sandmill__blue");
        assert!(config.check().is_ok());
        for name in ["", "a.b", "A", "a b", "a*", &"a".repeat(33)] {
            config.name = name.to_owned();
            assert!(config.check().is_err(), "{name}");
        }
    }
}
