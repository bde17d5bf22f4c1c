//! `sandmill cert show`: what a certificate says.

use sandmill::core::Timestamp;
use sandmill::transport::cert::{CertificateInfo, describe};
use serde::Serialize;

use super::args::ShowArgs;
use super::cert_error;
use crate::arguments;
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::output::{Results, Table, Ui, escape, moment};

/// The largest file that is read, in bytes.
const MAX_FILE: usize = 1 << 20;

/// A certificate in JSON: `docs/schemas/cert-show.json`.
#[derive(Serialize)]
struct CertificateJson<'a> {
    subject: &'a str,
    issuer: &'a str,
    authority: bool,
    role: Option<&'static str>,
    names: &'a [String],
    /// Seconds since 1970.
    not_before: i64,
    not_after: i64,
    expired: bool,
}

/// Shows a certificate.
pub(super) fn show(args: &ShowArgs, ui: &Ui) -> Result<u8> {
    let pem = arguments::read(&args.file.to_string_lossy(), MAX_FILE).map_err(CliError::input)?;
    let info = describe(&pem).map_err(|error| cert_error(&error))?;
    let expired = at(info.not_after) < moment::now();
    if ui.is_json() {
        Results::new(ui).json(&CertificateJson {
            subject: &info.subject,
            issuer: &info.issuer,
            authority: info.is_authority,
            role: info.role.map(|role| role.name()),
            names: &info.names,
            not_before: info.not_before,
            not_after: info.not_after,
            expired,
        })?;
        return Ok(exit_code::SUCCESS);
    }
    Results::new(ui).print(&text(&info, expired))?;
    Ok(exit_code::SUCCESS)
}

fn text(info: &CertificateInfo, expired: bool) -> String {
    let role = match info.role {
        Some(role) => role.name(),
        None if info.is_authority => "none: an authority",
        None => "none: not one of Sandmill's",
    };
    let mut until = moment_of(info.not_after);
    if expired {
        until.push_str("  (expired)");
    }
    let mut table = Table::default();
    for (what, value) in [
        ("subject", escape::line(&info.subject).into_owned()),
        ("issuer", escape::line(&info.issuer).into_owned()),
        ("role", role.to_owned()),
        ("names", escape::line(&info.names.join(", ")).into_owned()),
        ("valid from", moment_of(info.not_before)),
        ("valid until", until),
    ] {
        table.row([what.to_owned(), value]);
    }
    table.lines("").join("\n")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000))
}

/// Seconds since 1970 as a date and a time.
pub(super) fn moment_of(seconds: i64) -> String {
    moment::utc(at(seconds))
}
