//! The arguments of `sandmill cert`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, Subcommand};
use sandmill::core::units::parse_duration;
use sandmill::transport::security::Role;

const EXAMPLES: &str = "\
Examples:
  sandmill cert token --out join                   for a quick start: --token @join on both sides
  sandmill cert init --dir certs                   an authority: certs/ca.pem and certs/ca.key
  sandmill cert issue --dir certs --role worker --name a.example --name 10.0.0.7
  sandmill cert issue --dir certs --role submit --name ada
  sandmill cert show certs/a.example.pem

Keys can be read by you alone, and no file is written over. The authority's key (ca.key) stays where
it was made; each host gets ca.pem and its own certificate and key.";

/// Makes certificates and join tokens for links between hosts.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CertArgs {
    #[command(subcommand)]
    pub(super) action: Action,
}

/// What to make.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Make an authority, which issues certificates
    Init(InitArgs),
    /// Issue a certificate to a worker, or to somebody who gives runs to workers or looks at them
    Issue(IssueArgs),
    /// Show what a certificate says
    Show(ShowArgs),
    /// Make a join token, for workers and those who give them runs
    Token(TokenArgs),
}

/// `cert init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where the authority is kept; made where it is not there.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
    /// Its name, for people.
    #[arg(long, value_name = "NAME", default_value = "Sandmill")]
    pub(super) name: String,
    /// How long it is valid. [default: ten years]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) valid: Option<Duration>,
}

/// `cert issue`.
#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    /// Where the authority is kept.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
    /// What its holder is: a `worker` makes runs, `submit` gives runs to workers, `observe` looks at
    /// them, `admin` may do what both may.
    #[arg(long, value_name = "ROLE", value_parser = role())]
    pub(super) role: Role,
    /// A name or an address by which a worker is reached, or the name of somebody. May be given more
    /// than once; files are named for the first.
    #[arg(long = "name", value_name = "NAME", required = true)]
    pub(super) names: Vec<String>,
    /// How long it is valid. [default: 90days]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) valid: Option<Duration>,
    /// Where the certificate and its key go. By default where the authority is.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
}

/// `cert show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// A certificate in PEM.
    pub(super) file: PathBuf,
}

/// `cert token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// How long it is good: at most 24h.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(super) valid: Duration,
    /// Keep it in this new file, which only you can read, rather than print it.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

fn role() -> impl clap::builder::TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(|name| name.parse::<Role>())
}
