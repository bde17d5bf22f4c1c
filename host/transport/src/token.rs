//! Join tokens for the quick start: one text that a worker shows and a coordinator is given. From
//! it both make the same certificate authority and each a certificate of its own, so that mutual
//! TLS proves that the other has the token too. See `docs/decisions/0009-join-tokens.md`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{Issuer, KeyPair, PKCS_ED25519};
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use sandmill_wire::Digest;
use zeroize::{Zeroize as _, Zeroizing};

use crate::cert::{CLOCK_SLACK, CertError, authority_params, holder_params, unix_now};
use crate::security::{Identity, IdentityError, Role};

/// How long a token is good for where nothing else is said.
pub const DEFAULT_TOKEN_VALIDITY: Duration = Duration::from_secs(60 * 60);
/// The longest that any is.
pub const MAX_TOKEN_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);
/// The name of the host in every certificate that is made from a token: a token is for all hosts
/// that have it, whatever they are called.
pub const TOKEN_SERVER_NAME: &str = "sandmill-worker";

const PREFIX: &str = "smj1";
const SEED: usize = 32;
/// Bytes of the check at the end, which finds slips of the hand and nothing else.
const CHECK: usize = 6;
const MAX_TEXT: usize = 120;
/// What the keys are derived for, so that the same seed gives nothing elsewhere.
const SALT: &[u8] = b"sandmill join token 1";
const CA_KEY: &[u8] = b"certificate authority, ed25519";
/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const PKCS8_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A secret that lets its holders speak with each other for a while. Whoever has it can play any
/// of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    expires: u64,
    seed: Zeroizing<[u8; SEED]>,
}

/// Why a token cannot be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text is not one. It is not shown: it may be most of one.
    #[error("not a join token: {0}")]
    NotOne(&'static str),
    /// It is no longer good.
    #[error("the join token has expired: start the worker again, or ask for another")]
    Expired,
    /// It is good for longer than any token is.
    #[error("a join token is good for at most 24 hours")]
    TooLong,
    /// There is no randomness to be had.
    #[error("cannot make a join token: there is no randomness to be had")]
    NoRandomness,
    /// Keys or certificates cannot be made of it.
    #[error("cannot make a certificate from the join token: {0}")]
    Make(String),
}

impl From<rcgen::Error> for TokenError {
    fn from(error: rcgen::Error) -> Self {
        Self::Make(error.to_string())
    }
}

impl From<CertError> for TokenError {
    fn from(error: CertError) -> Self {
        Self::Make(error.to_string())
    }
}

impl From<IdentityError> for TokenError {
    fn from(error: IdentityError) -> Self {
        Self::Make(error.to_string())
    }
}

impl Token {
    /// A new token.
    ///
    /// # Errors
    /// It would be good for too long, or there is no randomness.
    pub fn new(validity: Duration) -> Result<Self, TokenError> {
        if validity > MAX_TOKEN_VALIDITY {
            return Err(TokenError::TooLong);
        }
        let mut seed = Zeroizing::new([0; SEED]);
        SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| TokenError::NoRandomness)?;
        Ok(Self { expires: unix_now().saturating_add(validity.as_secs()), seed })
    }

    /// Until when it is good, in seconds since 1970.
    #[must_use]
    pub const fn expires(&self) -> u64 {
        self.expires
    }

    /// Whether it is no longer good.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        unix_now() > self.expires
    }

    /// The token as text, which is the secret itself: for the one place where it is shown or kept.
    #[must_use]
    pub fn reveal(&self) -> String {
        let body = format!("{PREFIX}.{}.{}", self.expires, URL_SAFE_NO_PAD.encode(*self.seed));
        format!("{body}.{}", check(&body))
    }

    /// What to connect or to listen with: a certificate with a key of its own, of the authority
    /// that follows from the token, both good until the token expires.
    ///
    /// # Errors
    /// It has expired.
    pub fn identity(&self, role: Role) -> Result<Identity, TokenError> {
        let now = unix_now();
        if now > self.expires {
            return Err(TokenError::Expired);
        }
        if self.expires - now > MAX_TOKEN_VALIDITY.as_secs() + CLOCK_SLACK.as_secs() {
            return Err(TokenError::TooLong);
        }
        let authority_key = self.authority_key()?;
        // Something of the public key, so that other tokens' authorities have other names, and a
        // certificate of theirs is one of an unknown issuer.
        let mark = Digest::of(rcgen::PublicKeyData::der_bytes(&authority_key)).short();
        let from = now.saturating_sub(CLOCK_SLACK.as_secs());
        let authority = authority_params(&format!("Sandmill join {mark}"), from, self.expires)?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let names = [TOKEN_SERVER_NAME.to_owned()];
        let holder = holder_params(role, &names, from, self.expires)?;
        let key = KeyPair::generate()?;
        let certificate =
            holder.signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let authorities: Vec<CertificateDer<'static>> = vec![authority_certificate.der().clone()];
        let identity = Identity::new(vec![certificate.der().clone()], key, authorities)?;
        let until = UnixTime::since_unix_epoch(Duration::from_secs(self.expires));
        Ok(identity.limited(until, TOKEN_SERVER_NAME))
    }

    /// The authority's key. The time is in it, so a token whose time was changed is another token.
    fn authority_key(&self) -> Result<KeyPair, TokenError> {
        let unspecified = |_| TokenError::Make("the key cannot be derived".to_owned());
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT);
        let secret = salt.extract(self.seed.as_slice());
        let time = self.expires.to_be_bytes();
        let info = [CA_KEY, &time];
        let mut pkcs8 = Zeroizing::new([0; PKCS8_ED25519.len() + SEED]);
        pkcs8[..PKCS8_ED25519.len()].copy_from_slice(&PKCS8_ED25519);
        secret
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut pkcs8[PKCS8_ED25519.len()..]))
            .map_err(unspecified)?;
        let der = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
        Ok(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)?)
    }
}

/// The end of the text.
fn check(body: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Digest::of(body.as_bytes()).as_bytes()[..CHECK])
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads the text of a token. One that has expired is read too; it can no longer be used.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(TokenError::NotOne("it is too long"));
        }
        let parts: Vec<_> = text.split('.').collect();
        let &[prefix, expires, seed, end] = parts.as_slice() else {
            return Err(TokenError::NotOne("it has four parts with dots between them"));
        };
        if prefix != PREFIX {
            return Err(TokenError::NotOne("it does not start with `smj1.`"));
        }
        let body = &text[..text.len() - end.len() - 1];
        if check(body) != end {
            return Err(TokenError::NotOne("a part of it is missing or was changed"));
        }
        let expires: u64 =
            expires.parse().map_err(|_| TokenError::NotOne("its time is not a number"))?;
        let mut decoded = Zeroizing::new(
            URL_SAFE_NO_PAD.decode(seed).map_err(|_| TokenError::NotOne("it is not base64"))?,
        );
        let seed: [u8; SEED] = decoded
            .as_slice()
            .try_into()
            .map_err(|_| TokenError::NotOne("its secret does not have 32 bytes"))?;
        decoded.zeroize();
        Ok(Self { expires, seed: Zeroizing::new(seed) })
    }
}

/// Never shows the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires", &self.expires).finish_non_exhaustive()
    }
}
