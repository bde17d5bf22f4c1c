//! `sandmill cert token`: a join token on stdout, the one place where it is shown.

use sandmill::transport::token::{Token, TokenError};
use serde::Serialize;

use super::args::TokenArgs;
use super::show::moment_of;
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::output::{Results, Ui};

/// A token in JSON: `docs/schemas/cert-token.json`.
#[derive(Serialize)]
struct TokenJson {
    token: String,
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
    if ui.is_json() {
        let json = TokenJson { token: token.reveal(), expires: token.expires() };
        Results::new(ui).json(&json)?;
        return Ok(exit_code::SUCCESS);
    }
    Results::new(ui).print(&token.reveal())?;
    let until = moment_of(i64::try_from(token.expires()).unwrap_or(i64::MAX));
    ui.talk(format_args!(
        "whoever has it can run code on workers with it, until {until}; keep it in a file that only \
         you can read, and name that with --token @FILE"
    ));
    Ok(exit_code::SUCCESS)
}
