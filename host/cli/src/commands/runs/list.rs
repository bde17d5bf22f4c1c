//! `sandmill runs list`.

use std::time::Duration;

use sandmill::core::Timestamp;
use sandmill::core::units::format_duration;
use sandmill::store::{
    FlowFilter, FlowList, FlowRecord, MAX_LIST, Reader, StageSummary, StoreError,
};
use serde::Serialize;

use super::args::ListArgs;
use super::counts::RunCounts;
use super::find;
use super::json::{FlowJson, is_live};
use super::names::ShortIds;
use super::words::state_cell;
use crate::error::Result;
use crate::exit_code;
use crate::output::{Results, Table, Ui, escape, moment};
use crate::stores::store_error;
use crate::text::thousands;

/// The list in JSON: `docs/schemas/runs-list.json`.
#[derive(Serialize)]
struct ListJson<'a> {
    flows: Vec<FlowJson<'a>>,
    more: bool,
    damaged: Vec<String>,
}

/// Lists flow runs.
pub(super) fn list(args: &ListArgs, ui: &Ui, reader: &Reader) -> Result<u8> {
    let (FlowList { flows, damaged }, more) = flows(args, reader)?;
    let mut damaged: Vec<String> = damaged.iter().map(ToString::to_string).collect();
    let mut rows: Vec<(FlowRecord, Vec<StageSummary>)> = Vec::with_capacity(flows.len());
    for flow in flows {
        match reader.stages(flow.run) {
            Ok(stages) => rows.push((flow, stages)),
            // The others are as they are.
            Err(error @ StoreError::Corrupt { .. }) => damaged.push(error.to_string()),
            Err(error) => return Err(store_error(&error)),
        }
    }
    for what in &damaged {
        ui.warn(what, &[]);
    }
    if ui.is_json() {
        let flows = rows.iter().map(|(flow, stages)| FlowJson::of(flow, stages)).collect();
        Results::new(ui).json(&ListJson { flows, more, damaged })?;
        return Ok(exit_code::SUCCESS);
    }
    if rows.is_empty() {
        if damaged.is_empty() {
            ui.talk("no flow run fits");
        }
        return Ok(exit_code::SUCCESS);
    }
    let ids = ShortIds::of(reader, rows.iter().map(|(flow, _)| flow.run));
    Results::new(ui).print(&table(&rows, &ids).join("\n"))?;
    if more {
        ui.talk(format_args!("… and more: --limit {} shows the next ones", args.limit * 4));
    }
    Ok(exit_code::SUCCESS)
}

/// The flow runs that fit, and whether there are more.
fn flows(args: &ListArgs, reader: &Reader) -> Result<(FlowList, bool)> {
    let limit = usize::try_from(args.limit).unwrap_or(MAX_LIST).min(MAX_LIST - 1);
    let parent = args.parent.as_deref().map(|text| find::flow(reader, text)).transpose()?;
    let filter = FlowFilter {
        states: args.state.iter().map(|word| word.kind()).collect(),
        name: args.flow.as_ref().map(|name| name.0.clone()),
        since: args.since,
        until: args.until,
        labels: args.label.clone(),
        parent,
        limit: limit + 1,
    };
    let wanted = |flow: &FlowRecord| args.all || parent.is_some() || flow.parent.is_none();
    let mut found;
    let mut ask = limit + 1;
    loop {
        let filter = FlowFilter { limit: ask, ..filter.clone() };
        found = reader.list_flows(&filter).map_err(|error| store_error(&error))?;
        let all = found.flows.len() + found.damaged.len() < ask;
        found.flows.retain(wanted);
        // Many sub-flows may stand between the flow runs that are asked for.
        if all || found.flows.len() > limit || ask >= MAX_LIST {
            break;
        }
        ask = (ask * 8).min(MAX_LIST);
    }
    let more = found.flows.len() > limit;
    found.flows.truncate(limit);
    Ok((found, more))
}

fn table(rows: &[(FlowRecord, Vec<StageSummary>)], ids: &ShortIds) -> Vec<String> {
    let now = moment::now();
    let dim = console::Style::new().dim();
    let mut table = Table::right_aligned([3, 4]);
    let labelled = rows.iter().any(|(flow, _)| !flow.labels.is_empty());
    let heads = ["id", "flow", "state", "runs", "failed", "made", "took", "labels"];
    let columns = if labelled { heads.len() } else { heads.len() - 1 };
    table.row(heads[..columns].iter().map(|head| dim.apply_to(head).to_string()));
    for (flow, stages) in rows {
        let counts = RunCounts::of_all(stages, flow.based_on.is_some());
        let runs = match counts.total {
            Some(total) if total != counts.done => {
                format!("{}/{}", thousands(counts.done), thousands(total))
            }
            Some(total) => thousands(total),
            None => format!("{}/…", thousands(counts.done)),
        };
        let failed = match counts.bad() {
            0 => dim.apply_to("-").to_string(),
            bad => console::Style::new().red().apply_to(thousands(bad)).to_string(),
        };
        let cells = [
            ids.show(flow.run),
            escape::line(&flow.name).into_owned(),
            state_cell(&flow.state),
            runs,
            failed,
            moment::ago(flow.created, now),
            took(flow, stages, now),
            escape::line(&flow.labels.join(", ")).into_owned(),
        ];
        table.row(cells[..columns].iter().cloned());
    }
    table.lines("")
}

/// How long it took, as words.
pub(super) fn took(flow: &FlowRecord, stages: &[StageSummary], now: Timestamp) -> String {
    format_duration(time_taken(flow, stages, now))
}

/// How long it took, from its start: until its end, or until now where it is running. Of one that
/// was interrupted, until the last thing that is known of it.
pub(super) fn time_taken(flow: &FlowRecord, stages: &[StageSummary], now: Timestamp) -> Duration {
    let until = match flow.ended {
        Some(ended) => ended,
        None if is_live(flow) => now,
        None => {
            stages.iter().filter_map(|stage| stage.last_ended).fold(flow.state.at, Timestamp::max)
        }
    };
    moment::between(flow.started.unwrap_or(flow.created), until)
}
