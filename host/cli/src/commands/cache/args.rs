//! The arguments of `sandmill cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};
use sandmill::Digest;
use sandmill::core::Timestamp;
use sandmill::store::{CacheFilter, DEFAULT_CACHE_LIST};

use crate::arguments::Assignment;
use crate::error::Result;
use crate::flags::GrantFlags;
use crate::output::moment;
use crate::session;

const EXAMPLES: &str = "\
Examples:
  sandmill cache list --task estimate
  sandmill cache explain montecarlo.wasm estimate -a seed=7 -a samples=100
  sandmill cache clear --before 30days

A result is found again by component digest, task, arguments in canonical form, how guests are run,
and the key that the call gives its cache. Emptying the cache changes what runs cost, never what
they give.";

/// Lists, explains and clears the results that are kept for later runs of the same call.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List the results that are kept, the latest first
    List(ListArgs),
    /// Say whether a call would be answered from the cache, and if not, what differs
    Explain(ExplainArgs),
    /// Delete results: all of them, or those that fit what is said
    Clear(FilterFlags),
}

/// Which results.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct FilterFlags {
    /// Only those of this component: a .wasm file.
    #[arg(long, value_name = "COMPONENT")]
    component: Option<PathBuf>,
    /// Only those of tasks with this name.
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Only those that were kept under this key of the author's own.
    #[arg(long, value_name = "KEY")]
    cache_key: Option<String>,
    /// Only those that were made before: how long ago (30days), a date, or a time in UTC.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    before: Option<Timestamp>,
}

impl FilterFlags {
    pub(super) fn filter(&self) -> Result<CacheFilter> {
        let digest = |path: &PathBuf| session::load(path).map(|component| component.digest());
        let component: Option<Digest> = self.component.as_ref().map(digest).transpose()?;
        Ok(CacheFilter {
            component,
            task: self.task.clone(),
            user_key: self.cache_key.clone(),
            before: self.before,
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) filter: FilterFlags,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CACHE_LIST as u64, value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(super) limit: u64,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The component: a .wasm file.
    pub(super) component: PathBuf,
    /// The task.
    pub(super) task: String,
    /// Arguments as one JSON object by parameter name.
    pub(super) json: Option<String>,
    /// An argument, as of `sandmill call`.
    #[arg(short = 'a', long = "arg", value_name = "NAME=VALUE", value_parser = value_parser!(Assignment))]
    pub(super) arguments: Vec<Assignment>,
    /// The key that the call gives its cache.
    #[arg(long, value_name = "KEY")]
    pub(super) cache_key: Option<String>,
    #[command(flatten)]
    pub(super) grants: GrantFlags,
}
