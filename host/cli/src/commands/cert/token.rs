//! `sandmill cert token`: a join token, in a file of its own or on stdout, the one place where it
//! is shown.

use sandmill::transport::cert::write_private;
use sandmill::transport::token::{Token, TokenError};
use serde::Serialize;

use super::args::TokenArgs;
use super::cert_error;
use super::show::moment_of;
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::output::{Results, Ui};

/// A token in JSON: `docs/schemas/cert-token.json`.
#[derive(Serialize)]
struct TokenJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Seconds since 1970.
    expires: u64,
}

/// Makes a token.
pub(super) fn token(args: &TokenArgs, ui: &Ui) -> Result<u8> {
    let token = Token::new(args.valid).map_err(|error| match error {
        TokenError::TooLong => CliError::input(error.to_string())
            .hint("for longer, make certificates: `sandmill cert init` and `sandmill cert issue`"),
        _ => CliError::infrastructure(error.to_string()),
    })?;
    if let Some(path) = &args.out {
        let text = format!("{}\n", token.reveal());
        write_private(path, &text).map_err(|error| cert_error(&error))?;
    }
    let file = args.out.as_ref().map(|path| path.display().to_string());
    if ui.is_json() {
        let shown = file.is_none().then(|| token.reveal());
        Results::new(ui).json(&TokenJson { token: shown, file, expires: token.expires() })?;
        return Ok(exit_code::SUCCESS);
    }
    let until = moment_of(i64::try_from(token.expires()).unwrap_or(i64::MAX));
    let whoever = format_args!("whoever has it can run code on workers with it, until {until}");
    match file {
        Some(file) => {
            ui.step("Made", format_args!("the join token in {file}"));
            ui.talk(format_args!("{whoever}; next: --token @{file} on both sides"));
        }
        None => {
            Results::new(ui).print(&token.reveal())?;
            ui.talk(format_args!("{whoever}; --out FILE keeps it where only you can read it"));
        }
    }
    Ok(exit_code::SUCCESS)
}
