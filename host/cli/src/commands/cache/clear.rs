//! `sandmill cache clear`.

use sandmill::core::units::format_size;
use sandmill::store::{Cache, CacheBounds};
use serde::Serialize;

use super::args::FilterFlags;
use crate::config::Config;
use crate::error::Result;
use crate::exit_code;
use crate::output::{Results, Ui};
use crate::stores::{self, store_error};
use crate::text::counted;

/// What was deleted, in JSON: `docs/schemas/cache-clear.json`.
#[derive(Serialize)]
struct ClearJson {
    entries: u64,
    bytes: u64,
}

/// Deletes what fits.
pub(super) fn clear(flags: &FilterFlags, ui: &Ui, config: &Config) -> Result<u8> {
    let filter = flags.filter()?;
    let store = stores::open(config, "sandmill cache clear")?;
    let cache = Cache::new(&store, CacheBounds::default());
    let cleared = cache.clear(&filter).map_err(|error| store_error(&error))?;
    drop(cache);
    store.close();
    if ui.is_json() {
        Results::new(ui).json(&ClearJson { entries: cleared.entries, bytes: cleared.bytes })?;
    } else {
        let many = counted(cleared.entries, "result");
        ui.talk(format_args!("deleted {many}, {}", format_size(cleared.bytes)));
    }
    Ok(exit_code::SUCCESS)
}
