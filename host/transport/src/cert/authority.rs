//! A certificate authority of one's own: it issues certificates with roles, and is kept in files.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData as _};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sandmill_wire::Digest;
use zeroize::Zeroizing;

use super::files::{read, write_pair};
use super::{
    CLOCK_SLACK, CertError, CertificateInfo, MAX_VALIDITY, authority_params, describe_der,
    holder_params, unix_now,
};
use crate::security::{Identity, IdentityError, Role};

/// An authority: whoever has its key can make certificates that all take who take it.
pub struct CertAuthority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    pem: String,
    info: CertificateInfo,
}

/// A certificate that an authority issued, with its key.
pub struct IssuedCertificate {
    certificate: CertificateDer<'static>,
    pem: String,
    key: Zeroizing<String>,
    authority: CertificateDer<'static>,
}

impl CertAuthority {
    /// A new authority. `name` is for people; something of its key is added to it, so that two of
    /// the same name can be told apart.
    ///
    /// # Errors
    /// The name or the time cannot stand in a certificate.
    pub fn create(name: &str, validity: Duration) -> Result<Self, CertError> {
        let key = KeyPair::generate()?;
        let mark = Digest::of(key.der_bytes()).short();
        let (from, to) = window(validity)?;
        Self::of(key, &authority_params(&format!("{name} {mark}"), from, to)?)
    }

    fn of(key: KeyPair, params: &CertificateParams) -> Result<Self, CertError> {
        let certificate = params.self_signed(&key)?;
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        let info = describe_der(&certificate)?;
        Ok(Self { key, certificate, pem, info })
    }

    /// Issues a certificate for whoever is `role`, at hosts with these `names` (DNS names and IP
    /// addresses; a worker needs those by which it is reached). It does not outlive the authority.
    ///
    /// # Errors
    /// A name or the time cannot stand in a certificate.
    pub fn issue(
        &self,
        role: Role,
        names: Vec<String>,
        validity: Duration,
    ) -> Result<IssuedCertificate, CertError> {
        let (from, to) = window(validity)?;
        let end = u64::try_from(self.info.not_after).unwrap_or(0);
        let params = holder_params(role, &names, from, to.min(end))?;
        let key = KeyPair::generate()?;
        // What stands as the issuer in what it signs is the authority's own name, to the letter.
        let own = authority_params(&self.info.subject, 0, 1)?;
        let issued = params.signed_by(&key, &Issuer::from_params(&own, &self.key))?;
        Ok(IssuedCertificate {
            pem: issued.pem(),
            certificate: issued.der().clone(),
            key: Zeroizing::new(key.serialize_pem()),
            authority: self.certificate.clone(),
        })
    }

    /// What its certificate says.
    #[must_use]
    pub const fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// Its certificate in PEM, for those who should take what it issues.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Keeps it in two new files; that of the key only its owner can read.
    ///
    /// # Errors
    /// One of them is there already, or cannot be written.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), CertError> {
        let secret = Zeroizing::new(self.key.serialize_pem());
        write_pair((certificate, &self.pem), (key, &secret))
    }

    /// Takes it from its files.
    ///
    /// # Errors
    /// They cannot be read, are something else, or do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertError> {
        let pem = String::from_utf8(read(certificate)?.to_vec())
            .map_err(|error| CertError::NotPem(error.to_string()))?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| CertError::NotPem(error.to_string()))?;
        let info = describe_der(&der)?;
        if !info.is_authority {
            let path = certificate.display();
            return Err(CertError::NotPem(format!("{path} is not an authority's certificate")));
        }
        let text = read(key)?;
        let text =
            std::str::from_utf8(&text).map_err(|error| CertError::NotPem(error.to_string()))?;
        let key = KeyPair::from_pem(text).map_err(|error| CertError::NotPem(error.to_string()))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|error| CertError::NotPem(error.to_string()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(CertError::NotPem("the key is not that of the certificate".to_owned()));
        }
        Ok(Self { key, certificate: der, pem, info })
    }
}

impl fmt::Debug for CertAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertAuthority").field("info", &self.info).finish_non_exhaustive()
    }
}

impl IssuedCertificate {
    /// The certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The key in PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// What the certificate says.
    ///
    /// # Errors
    /// Never for one that was just made.
    pub fn info(&self) -> Result<CertificateInfo, CertError> {
        describe_der(&self.certificate)
    }

    /// What to connect or to listen with.
    ///
    /// # Errors
    /// Never for one that was just made.
    pub fn identity(&self) -> Result<Identity, IdentityError> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        Identity::new(vec![self.certificate.clone()], key, vec![self.authority.clone()])
    }

    /// Keeps it in two new files; that of the key only its owner can read.
    ///
    /// # Errors
    /// One of them is there already, or cannot be written.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), CertError> {
        write_pair((certificate, &self.pem), (key, &self.key))
    }
}

impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate").finish_non_exhaustive()
    }
}

/// From when to when, in seconds since 1970.
fn window(validity: Duration) -> Result<(u64, u64), CertError> {
    if validity > MAX_VALIDITY || validity < Duration::from_secs(1) {
        return Err(CertError::Validity);
    }
    let now = unix_now();
    Ok((now.saturating_sub(CLOCK_SLACK.as_secs()), now.saturating_add(validity.as_secs())))
}
