//! `sandmill cache list`.

use sandmill::core::units::format_size;
use sandmill::store::CacheReader;
use serde::Serialize;

use super::args::ListArgs;
use super::command::EntryJson;
use crate::error::Result;
use crate::exit_code;
use crate::output::{Results, Table, Ui, escape, moment};
use crate::stores::store_error;
use crate::text::{counted, thousands};

/// The list in JSON: `docs/schemas/cache-list.json`.
#[derive(Serialize)]
struct ListJson<'a> {
    entries: Vec<EntryJson<'a>>,
    total: u64,
    bytes: u64,
}

/// Lists what is kept.
pub(super) fn list(args: &ListArgs, ui: &Ui, reader: &CacheReader) -> Result<u8> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let filter = args.filter.filter()?;
    let entries = reader.list(&filter, limit).map_err(|error| store_error(&error))?;
    let totals = reader.totals().map_err(|error| store_error(&error))?;
    if ui.is_json() {
        Results::new(ui).json(&ListJson {
            entries: entries.iter().map(EntryJson::of).collect(),
            total: totals.entries,
            bytes: totals.bytes,
        })?;
        return Ok(exit_code::SUCCESS);
    }
    let dim = console::Style::new().dim();
    let now = moment::now();
    let mut table = Table::right_aligned([3]);
    let heads = ["task", "component", "made", "bytes", "expires", "key", "by run"];
    table.row(heads.map(|head| dim.apply_to(head).to_string()));
    for entry in &entries {
        table.row([
            escape::line(&entry.task).into_owned(),
            entry.component.short().to_string(),
            moment::ago(entry.created, now),
            thousands(entry.bytes),
            entry.expires.map_or_else(|| "never".to_owned(), |at| moment::ago(at, now)),
            entry.user_key.as_deref().map_or("-".into(), escape::line).into_owned(),
            entry.run.to_string(),
        ]);
    }
    if !entries.is_empty() {
        Results::new(ui).print(&table.lines("").join("\n"))?;
    }
    let shown = match entries.len() as u64 {
        shown if shown < totals.entries => format!(", {} shown", thousands(shown)),
        _ => String::new(),
    };
    let many = counted(totals.entries, "result");
    ui.talk(format_args!("{many} kept, {}{shown}", format_size(totals.bytes)));
    Ok(exit_code::SUCCESS)
}
