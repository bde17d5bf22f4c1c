//! Certificates and join tokens as they are named on the command line and in the configuration, made
//! into what a link is set up with.

use sandmill::transport::security::{
    ClientSecurity, Identity, IdentityError, Role, ServerSecurity, TlsClient, TlsServer,
};
use sandmill::transport::token::{Token, TokenError};

use crate::config::Credentials;
use crate::error::{CliError, Result};

/// The largest file of a token that is read, in bytes.
const MAX_TOKEN_FILE: u64 = 1 << 10;

impl Credentials {
    /// What this side shows, as whoever has a join token would in this role; none where nothing is
    /// named.
    pub(crate) fn identity(&self, role: Role) -> Result<Option<Identity>> {
        if let Some(text) = &self.token {
            return token(text)?.identity(role).map(Some).map_err(|error| token_error(&error));
        }
        let (Some(cert), Some(key), Some(ca)) = (&self.cert, &self.key, &self.ca) else {
            return Ok(None);
        };
        Identity::load(cert, key, ca).map(Some).map_err(|error| identity_error(&error))
    }

    /// How whoever gives runs to workers, or looks at them, is known to them.
    pub(crate) fn client(&self) -> Result<ClientSecurity> {
        let Some(identity) = self.identity(Role::Submit)? else { return Ok(ClientSecurity::Plain) };
        TlsClient::new(&identity).map(ClientSecurity::Tls).map_err(|error| identity_error(&error))
    }

    /// How a worker knows others.
    pub(crate) fn server(&self) -> Result<ServerSecurity> {
        let Some(identity) = self.identity(Role::Worker)? else { return Ok(ServerSecurity::Plain) };
        TlsServer::new(&identity).map(ServerSecurity::Tls).map_err(|error| identity_error(&error))
    }
}

/// The token, or that in the file. No error shows it.
fn token(text: &str) -> Result<Token> {
    let Some(path) = text.strip_prefix('@') else {
        return text.parse().map_err(|error| token_error(&error));
    };
    let unreadable = |why: String| {
        CliError::input(format!("the join token in `{path}` cannot be read")).detail(why)
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > MAX_TOKEN_FILE {
        return Err(unreadable("the file is too large to hold one".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    text.parse().map_err(|error| token_error(&error))
}

/// What to say of a token that does not do.
fn token_error(error: &TokenError) -> CliError {
    let hint = "`sandmill cert token` makes one";
    match error {
        TokenError::NotOne(_) => CliError::input(error.to_string()).hint(hint),
        TokenError::Expired => CliError::infrastructure("the join token has expired").hint(hint),
        _ => CliError::infrastructure(error.to_string()),
    }
}

/// What to say of a certificate that does not do.
pub(crate) fn identity_error(error: &IdentityError) -> CliError {
    CliError::input(error.to_string())
}
