//! `sandmill cert`: certificates and join tokens for links between hosts, one command each.

mod args;
mod init;
mod issue;
mod show;
mod token;

use crate::error::{CliError, Result};
use crate::output::Ui;
use sandmill::transport::cert::CertError;

use args::Action;
pub(crate) use args::CertArgs;

/// The file of an authority's certificate, in its directory.
const AUTHORITY: &str = "ca.pem";
/// The file of its key.
const AUTHORITY_KEY: &str = "ca.key";

/// Makes or shows certificates and tokens.
pub(crate) fn cert(args: &CertArgs, ui: &Ui) -> Result<u8> {
    match &args.action {
        Action::Init(args) => init::init(args, ui),
        Action::Issue(args) => issue::issue(args, ui),
        Action::Show(args) => show::show(args, ui),
        Action::Token(args) => token::token(args, ui),
    }
}

/// What to say of a certificate that cannot be made, kept or read.
fn cert_error(error: &CertError) -> CliError {
    match error {
        CertError::Exists(_) => CliError::input(error.to_string())
            .hint("nothing is written over: a certificate that others trust would be lost"),
        CertError::Write { .. } | CertError::Make(_) => CliError::infrastructure(error.to_string()),
        CertError::Read { path, error: why } if why.kind() == std::io::ErrorKind::NotFound => {
            let base = CliError::input(format!("there is no file `{}`", path.display()));
            if path.ends_with(AUTHORITY) || path.ends_with(AUTHORITY_KEY) {
                base.hint("`sandmill cert init` makes an authority; --dir names where it is")
            } else {
                base
            }
        }
        _ => CliError::input(error.to_string()),
    }
}
