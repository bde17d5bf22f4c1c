//! `sandmill cert init`: an authority in two new files.

use std::os::unix::fs::DirBuilderExt as _;

use sandmill::transport::cert::{CertAuthority, DEFAULT_AUTHORITY_VALIDITY};
use serde::Serialize;

use super::args::InitArgs;
use super::{AUTHORITY, AUTHORITY_KEY, cert_error};
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::output::{Results, Ui};

/// The authority in JSON: `docs/schemas/cert-files.json`.
#[derive(Serialize)]
pub(super) struct FilesJson {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) subject: String,
    pub(super) role: Option<&'static str>,
    pub(super) not_after: i64,
}

/// Makes an authority.
pub(super) fn init(args: &InitArgs, ui: &Ui) -> Result<u8> {
    let dir = &args.dir;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        CliError::infrastructure(format!("`{}` cannot be made", dir.display())).detail(error)
    })?;
    let validity = args.valid.unwrap_or(DEFAULT_AUTHORITY_VALIDITY);
    let authority = CertAuthority::create(&args.name, validity).map_err(|e| cert_error(&e))?;
    let (certificate, key) = (dir.join(AUTHORITY), dir.join(AUTHORITY_KEY));
    authority.save(&certificate, &key).map_err(|error| cert_error(&error))?;
    let info = authority.info();
    if ui.is_json() {
        Results::new(ui).json(&FilesJson {
            certificate: certificate.display().to_string(),
            key: key.display().to_string(),
            subject: info.subject.clone(),
            role: None,
            not_after: info.not_after,
        })?;
        return Ok(exit_code::SUCCESS);
    }
    ui.step("Made", format_args!("the authority {}", info.subject));
    ui.talk(format_args!(
        "  {}   for every host: whose certificates are taken",
        certificate.display()
    ));
    ui.talk(format_args!(
        "  {}   stays here: whoever has it can issue certificates",
        key.display()
    ));
    let dir = dir.display();
    ui.talk(format_args!(
        "next: sandmill cert issue --dir {dir} --role worker --name HOST, and --role submit for \
         those who give runs to workers"
    ));
    Ok(exit_code::SUCCESS)
}
