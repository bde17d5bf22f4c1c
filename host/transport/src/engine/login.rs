//! How a connection shows who it is, read from files; and what it means that a server, or its
//! certificate, is not taken, or does not take who this is. No secret stands in the words.

use std::fmt::Display;
use std::path::Path;

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::config::{Credentials, EngineConfig};
use super::error::EngineError;

/// The letters of a user's seed.
const SEED: usize = 58;

/// Adds the credentials and certificates that the configuration names.
///
/// # Errors
/// When a file of them cannot be used. The server was not asked then.
pub(super) async fn with_login(
    options: ConnectOptions,
    config: &EngineConfig,
) -> Result<ConnectOptions, EngineError> {
    let mut options = match &config.credentials {
        Credentials::None => options,
        Credentials::File(path) => {
            options.credentials_file(path).await.map_err(|error| unusable(path, &error))?
        }
        Credentials::NkeyFile(path) => options.nkey(seed(path).await?),
    };
    let tls = &config.tls;
    if let Some(ca) = &tls.ca {
        check_certificates(ca).await?;
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &tls.own {
        check_certificates(certificate).await?;
        let pem = read(key).await?;
        PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| unusable(key, &"it holds no key in PEM"))?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    let wants_tls = tls.ca.is_some()
        || tls.own.is_some()
        || config.urls.iter().any(|url| url.starts_with("tls://"));
    Ok(options.require_tls(wants_tls))
}

async fn seed(path: &Path) -> Result<String, EngineError> {
    let text = read(path).await?;
    let text = String::from_utf8_lossy(&text);
    let is_seed = |line: &&str| {
        let letter = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
        line.len() == SEED && line.starts_with("SU") && line.bytes().all(letter)
    };
    let seed = text.lines().map(str::trim).find(is_seed).map(str::to_owned);
    seed.ok_or_else(|| unusable(path, &"it holds no seed of a user, which begins with SU"))
}

async fn check_certificates(path: &Path) -> Result<(), EngineError> {
    let pem = read(path).await?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(()),
        _ => Err(unusable(path, &"it holds no certificate in PEM")),
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    tokio::fs::read(path).await.map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, why: &dyn Display) -> EngineError {
    EngineError::Config(format!("{} cannot be used: {why}", path.display()))
}

/// What it means that there is no connection.
pub(super) fn refusal(config: &EngineConfig, error: &ConnectError) -> EngineError {
    let (urls, why) = (config.shown(), error.to_string());
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => EngineError::Refused { urls, why },
        ConnectErrorKind::Authentication => EngineError::Config(format!(
            "the key for the engine at {urls} cannot be used: {why}; its seed may be damaged"
        )),
        _ => match certificate_words(&why) {
            Some((by_server, words)) if by_server => {
                EngineError::Refused { urls, why: format!("{words} ({why})") }
            }
            Some((_, words)) => EngineError::Connect { urls, why: format!("{words} ({why})") },
            None => EngineError::Connect { urls, why },
        },
    }
}

/// What the words of a TLS library mean; whether the server is who refused.
fn certificate_words(why: &str) -> Option<(bool, &'static str)> {
    const WORDS: [(&str, bool, &str); 8] = [
        ("CertificateRequired", true, "it asks for a client certificate"),
        ("received fatal alert: CertificateExpired", true, "the client certificate has expired"),
        (
            "received fatal alert: UnknownCA",
            true,
            "it does not know who signed the client certificate",
        ),
        ("received fatal alert", true, "it does not take the client certificate"),
        ("UnknownIssuer", false, "nobody that is trusted signed its certificate: name its CA"),
        ("certificate expired", false, "its certificate has expired"),
        ("not valid for name", false, "its certificate is for another name"),
        ("invalid peer certificate", false, "its certificate is not taken"),
    ];
    let found = WORDS.iter().find(|(word, ..)| why.contains(word));
    found.map(|(_, by_server, words)| (*by_server, *words))
}
