//! What a certificate says, for people and for the checks of roles.

use std::fmt;
use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::CertError;
use crate::security::Role;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Whose it is: the common name.
    pub subject: String,
    /// Who issued it: the common name.
    pub issuer: String,
    /// What its holder is; none for an authority.
    pub role: Option<Role>,
    /// The hosts that it is for: names and IP addresses.
    pub names: Vec<String>,
    /// Whether it is an authority.
    pub is_authority: bool,
    /// Since when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when, in seconds since 1970.
    pub not_after: i64,
}

/// What the first certificate of a PEM text says.
///
/// # Errors
/// It is not one, or says unclear things of its holder's role.
pub fn describe(pem: &[u8]) -> Result<CertificateInfo, CertError> {
    let certificate = CertificateDer::from_pem_slice(pem)
        .map_err(|error| CertError::NotPem(error.to_string()))?;
    describe_der(&certificate)
}

/// What a certificate says.
///
/// # Errors
/// See [`describe`].
pub fn describe_der(certificate: &CertificateDer<'_>) -> Result<CertificateInfo, CertError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| CertError::NotPem(error.to_string()))?;
    let common = |name: &x509_parser::x509::X509Name<'_>| {
        let name = name.iter_common_name().next().and_then(|name| name.as_str().ok());
        name.unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect::<String>()
    };
    let mut role = None;
    let mut names = Vec::new();
    let alternative =
        parsed.subject_alternative_name().map_err(|error| CertError::NotPem(error.to_string()))?;
    for name in alternative.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => names.extend(ip(bytes).map(|ip| ip.to_string())),
            GeneralName::URI(uri) => {
                if let Some(said) = Role::of_uri(uri)
                    && role.replace(said?).is_some()
                {
                    return Err(CertError::Roles);
                }
            }
            _ => {}
        }
    }
    Ok(CertificateInfo {
        subject: common(parsed.subject()),
        issuer: common(parsed.issuer()),
        role,
        names,
        is_authority: parsed.is_ca(),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

impl fmt::Display for CertificateInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.subject)?;
        match self.role {
            Some(role) => write!(f, ", {role}")?,
            None if self.is_authority => f.write_str(", authority")?,
            None => f.write_str(", no role")?,
        }
        if !self.names.is_empty() {
            write!(f, ", for {}", self.names.join(", "))?;
        }
        Ok(())
    }
}
