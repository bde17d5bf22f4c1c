//! What each side of a link is set up with.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::verify::{VerifyClient, VerifyServer, provider};
use super::{Identity, IdentityError, Role};
use crate::UNSENT;

/// What is spoken inside TLS.
const HTTP2: &[u8] = b"h2";

/// How a server knows those who connect.
#[derive(Debug, Clone)]
pub enum ServerSecurity {
    /// It does not: whoever reaches the socket may submit. For `unix:` and `tcp://` only.
    Plain,
    /// By their certificates. For `tls://` only.
    Tls(TlsServer),
}

/// How a client knows a worker, and is known to it.
#[derive(Debug, Clone)]
pub enum ClientSecurity {
    /// Not at all. For `unix:` and `tcp://` only.
    Plain,
    /// By their certificates. Addresses on this machine, `unix:` and `tcp://`, are spoken to
    /// without TLS also then.
    Tls(TlsClient),
}

/// A server's side of TLS: version 1.3 only, with certificates of both sides.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
}

impl TlsServer {
    /// A server that shows `identity`, whose role has to be `worker`.
    ///
    /// # Errors
    /// It has another role, or cannot be used.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        if identity.role() != Role::Worker {
            return Err(IdentityError::Role { needed: Role::Worker, has: identity.role() });
        }
        let verifier = VerifyClient::new(identity)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| IdentityError::Unusable(error.to_string()))?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(identity.chain(), identity.key())
            .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        // A session that is taken up again shows no certificate, which may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

/// A client's side of TLS: version 1.3 only, with certificates of both sides.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    /// The name that the other side's certificate has to have, where it is not that of its host.
    name: Option<&'static str>,
}

impl TlsClient {
    /// A client that shows `identity`. What its role allows, the server says.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let verifier = VerifyServer::new(identity)?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| IdentityError::Unusable(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(identity.chain(), identity.key())
            .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name: identity.server_name() })
    }

    pub(crate) async fn connect<S>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<tokio_rustls::client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(self.name.unwrap_or(host).to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(Arc::clone(&self.config))
            .connect_with(name, stream, |tls| tls.set_buffer_limit(Some(UNSENT as usize)))
            .await
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("name", &self.name).finish_non_exhaustive()
    }
}
