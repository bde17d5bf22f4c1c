//! Which of the commands of `sandmill cache` is meant, and the JSON form of an entry.

use sandmill::store::{CacheReader, CacheRecord};
use serde::Serialize;

use super::args::{Action, CacheArgs};
use super::{clear, explain, list};
use crate::config::Config;
use crate::error::Result;
use crate::output::Ui;
use crate::stores;

/// Lists, explains or clears the cache.
pub(crate) fn cache(args: &CacheArgs, ui: &Ui, config: &Config) -> Result<u8> {
    match &args.action {
        Action::List(args) => list::list(args, ui, &reader(config)?),
        Action::Explain(args) => explain::explain(args, ui, config, &reader(config)?),
        Action::Clear(filter) => clear::clear(filter, ui, config),
    }
}

fn reader(config: &Config) -> Result<CacheReader> {
    Ok(CacheReader::new(stores::directory(config)?))
}

/// A kept result in JSON.
#[derive(Serialize)]
pub(super) struct EntryJson<'a> {
    key: String,
    component: String,
    task: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_key: Option<&'a str>,
    run_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<String>,
    created_micros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_micros: Option<u64>,
    bytes: u64,
}

impl<'a> EntryJson<'a> {
    pub(super) fn of(entry: &'a CacheRecord) -> Self {
        Self {
            key: entry.key.to_string(),
            component: entry.component.to_string(),
            task: &entry.task,
            user_key: entry.user_key.as_deref(),
            run_id: entry.run.to_string(),
            flow: entry.flow.map(|flow| flow.to_string()),
            created_micros: entry.created.as_micros(),
            expires_micros: entry.expires.map(|at| at.as_micros()),
            bytes: entry.bytes,
        }
    }
}
