//! What stands in the certificates that are made here.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use super::CertError;
use crate::security::Role;

/// How long an authority is valid where nothing else is said: ten years.
pub const DEFAULT_AUTHORITY_VALIDITY: Duration = MAX_VALIDITY;
/// How long a certificate is valid where nothing else is said: 90 days.
pub const DEFAULT_VALIDITY: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The longest that any is.
pub const MAX_VALIDITY: Duration = Duration::from_secs(3_653 * 24 * 60 * 60);
/// How long before it is made a certificate is valid already: hosts' clocks may differ.
pub const CLOCK_SLACK: Duration = Duration::from_secs(15 * 60);
/// Names of hosts in one certificate.
const MAX_NAMES: usize = 100;
const MAX_NAME_BYTES: usize = 253;
/// What a common name may hold, by X.520.
const MAX_COMMON_NAME: usize = 64;

/// Now, in seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn params(
    common_name: &str,
    not_before: u64,
    not_after: u64,
) -> Result<CertificateParams, CertError> {
    let fits = !common_name.is_empty() && common_name.len() <= MAX_COMMON_NAME;
    if !fits || common_name.chars().any(char::is_control) {
        return Err(CertError::Name(common_name.chars().take(80).collect()));
    }
    // So far ahead that no date is out of reach of the format, and near enough for any use.
    const LAST: u64 = 8_000_000_000;
    if not_after <= not_before || not_after > LAST {
        return Err(CertError::Validity);
    }
    let mut params = CertificateParams::default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(not_before);
    params.not_after = epoch + Duration::from_secs(not_after);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name.push(DnType::OrganizationName, "Sandmill");
    Ok(params)
}

/// An authority.
pub(crate) fn authority_params(
    common_name: &str,
    not_before: u64,
    not_after: u64,
) -> Result<CertificateParams, CertError> {
    let mut params = params(common_name, not_before, not_after)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Somebody with a role. It may stand on either side of a connection: its role says more.
pub(crate) fn holder_params(
    role: Role,
    names: &[String],
    not_before: u64,
    not_after: u64,
) -> Result<CertificateParams, CertError> {
    let common: String = match names.first() {
        Some(name) if name.len() <= MAX_COMMON_NAME => name.clone(),
        _ => role.to_string(),
    };
    let mut params = params(&common, not_before, not_after)?;
    if names.len() > MAX_NAMES {
        return Err(CertError::Name(format!("{} names", names.len())));
    }
    for name in names {
        params.subject_alt_names.push(host(name)?);
    }
    let ia5 = |text: String| {
        let wrong = text.clone();
        text.try_into().map_err(|_| CertError::Name(wrong))
    };
    params.subject_alt_names.push(SanType::URI(ia5(role.uri())?));
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A worker that is asked for a client's certificate, or a client that plays a worker, is told
    // of its role rather than of an extension, so both purposes are in each.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn host(name: &str) -> Result<SanType, CertError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = || CertError::Name(name.chars().take(80).collect());
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let plain = name.strip_prefix("*.").unwrap_or(name);
    if plain.is_empty() || name.len() > MAX_NAME_BYTES || !plain.bytes().all(letter) {
        return Err(wrong());
    }
    Ok(SanType::DnsName(name.to_owned().try_into().map_err(|_| wrong())?))
}
