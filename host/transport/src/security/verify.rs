//! Whom each side takes: the chain of certificates by the library, and beside it the role, and the
//! end of the join token where there is one.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Identity, IdentityError, Role};
use crate::cert::{CertError, describe_der};

/// The one crypto library.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate whose role does not fit, where the chain does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongRole(pub(super) String);

fn wrong_role(words: String) -> Error {
    let inner: Arc<dyn std::error::Error + Send + Sync> = Arc::new(WrongRole(words));
    Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))
}

/// The role of a certificate whose chain is good.
fn role(certificate: &CertificateDer<'_>) -> Result<Role, Error> {
    let info = describe_der(certificate)
        .map_err(|error| wrong_role(format!("its certificate cannot be taken: {error}")))?;
    info.role.ok_or_else(|| {
        wrong_role(format!("its certificate cannot be taken: {}", CertError::NoRole))
    })
}

fn in_time(until: Option<UnixTime>, now: UnixTime) -> Result<(), Error> {
    match until {
        Some(not_after) if now > not_after => {
            let expired = CertificateError::ExpiredContext { time: now, not_after };
            Err(Error::InvalidCertificate(expired))
        }
        _ => Ok(()),
    }
}

/// Takes clients whose certificate is good and has a role. What the role allows is checked with
/// each call, where there is somebody to tell.
pub(super) struct VerifyClient {
    chain: Arc<dyn ClientCertVerifier>,
    until: Option<UnixTime>,
}

impl VerifyClient {
    pub(super) fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let roots = Arc::new(identity.roots()?);
        let chain = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        Ok(Self { chain, until: identity.until() })
    }
}

impl fmt::Debug for VerifyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyClient").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for VerifyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // None: a client that would find no certificate for them would send none, and both sides
        // would say "no certificate" where it is one of another authority.
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(certificate, between, now)?;
        in_time(self.until, now)?;
        role(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Takes servers whose certificate is good, is for the name, and has the role `worker`.
pub(super) struct VerifyServer {
    chain: Arc<WebPkiServerVerifier>,
    until: Option<UnixTime>,
}

impl VerifyServer {
    pub(super) fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let roots = Arc::new(identity.roots()?);
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        Ok(Self { chain, until: identity.until() })
    }
}

impl fmt::Debug for VerifyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyServer").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for VerifyServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(certificate, between, name, ocsp, now)?;
        in_time(self.until, now)?;
        match role(certificate)? {
            Role::Worker => Ok(verified),
            other => Err(wrong_role(format!(
                "its certificate has the role `{other}`, and that of a worker has `worker`"
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
