//! `sandmill cert issue`: a certificate and its key in two new files.

use std::path::Path;

use sandmill::transport::cert::{CertAuthority, DEFAULT_VALIDITY};
use sandmill::transport::security::Role;

use super::args::IssueArgs;
use super::init::FilesJson;
use super::show::moment_of;
use super::{AUTHORITY, AUTHORITY_KEY, cert_error};
use crate::error::Result;
use crate::exit_code;
use crate::output::{Results, Ui};

/// Issues a certificate.
pub(super) fn issue(args: &IssueArgs, ui: &Ui) -> Result<u8> {
    let wrong = |error| cert_error(&error);
    let ca = args.dir.join(AUTHORITY);
    let authority = CertAuthority::load(&ca, &args.dir.join(AUTHORITY_KEY)).map_err(wrong)?;
    let validity = args.valid.unwrap_or(DEFAULT_VALIDITY);
    let issued = authority.issue(args.role, args.names.clone(), validity).map_err(wrong)?;
    let info = issued.info().map_err(wrong)?;
    let stem = file_name(&args.names[0]);
    let out = args.out.as_deref().unwrap_or(&args.dir);
    let (certificate, key) = (out.join(format!("{stem}.pem")), out.join(format!("{stem}.key")));
    issued.save(&certificate, &key).map_err(wrong)?;
    if ui.is_json() {
        Results::new(ui).json(&FilesJson {
            certificate: certificate.display().to_string(),
            key: key.display().to_string(),
            subject: info.subject,
            role: Some(args.role.name()),
            not_after: info.not_after,
        })?;
        return Ok(exit_code::SUCCESS);
    }
    ui.step("Issued", format_args!("{info}, valid until {}", moment_of(info.not_after)));
    ui.talk(format_args!("  {}", certificate.display()));
    ui.talk(format_args!("  {}   for its holder alone", key.display()));
    ui.talk(format_args!("next: {}", next(args, &certificate, &key, &ca)));
    Ok(exit_code::SUCCESS)
}

fn next(args: &IssueArgs, certificate: &Path, key: &Path, ca: &Path) -> String {
    let files =
        format!("--cert {} --key {} --ca {}", certificate.display(), key.display(), ca.display());
    match args.role {
        Role::Worker => format!("sandmill worker --listen tls://0.0.0.0:7070 {files}"),
        Role::Submit => format!("sandmill run FLOW --host tls://HOST:7070 {files}"),
        Role::Observe | Role::Admin => {
            format!("sandmill workers --host tls://HOST:7070 {files}")
        }
    }
}

/// A name as the beginning of a file's.
fn file_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_become_files() {
        for (name, file) in [("a.example", "a.example"), ("*.b", "_.b"), ("::1", "__1"), ("..", "")]
        {
            assert_eq!(super::file_name(name), file, "{name}");
        }
    }
}
