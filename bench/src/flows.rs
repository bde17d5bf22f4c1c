//! Flow files for what is measured, and their runs, which are counted when they have ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use sandmill::flow_file::{FlowRunFuture, Given};
use sandmill::store::Reader;
use sandmill::{FlowStart, Host, StartedFlow, Value};

use crate::measure::Answer;

/// A flow of such tasks, each mapped over the one before, the first over numbers.
pub(crate) fn text(guest: &Path, tasks: &[&str]) -> String {
    let mut text = format!(
        "[flow]\nname = \"bench\"\nresult = \"stage-{}.result\"\n\n\
         [components.guest]\npath = {:?}\n\n\
         [parameters.count]\ntype = \"integer\"\n\n\
         [tasks.stage-0]\ncall = \"guest.numbers\"\narguments.count = {{ from = \"parameters.count\" }}\n",
        tasks.len(),
        guest.display().to_string(),
    );
    for (before, task) in tasks.iter().enumerate() {
        let stage = before + 1;
        let written = write!(
            text,
            "\n[tasks.stage-{stage}]\ncall = \"guest.{task}\"\n\
             arguments.number = {{ map = \"stage-{before}.result\" }}\n"
        );
        written.expect("writing to a string cannot fail");
    }
    text
}

/// Runs it over so many numbers, written down where the host has a store. Checking the file is not
/// measured, all else is, to the moment when the end is on the disk.
pub(crate) fn run(host: &Host, path: &Path, width: u64, stages: u64) -> Result<Answer> {
    let count = ("count".to_owned(), Value::encode(&width)?);
    let flow = host.plan_flow(path, &Given::new().parameters(BTreeMap::from([count])))?;
    let start = Instant::now();
    let future = match host.store() {
        None => host.run_flow(flow.plan),
        Some(_) => match host.start_flow(&flow, FlowStart::default())? {
            StartedFlow::New(future) => future,
            StartedFlow::Exists(run) => anyhow::bail!("there is a flow run {run} already"),
        },
    };
    let result = future.result(None)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(result.len() == Some(usize::try_from(width)?), "the flow came to another list");
    let runs = completed(host, &future)?;
    ensure!(runs == width * stages, "{runs} runs completed, not {}", width * stages);
    Ok(Answer { runs, seconds, ..Answer::default() })
}

/// How many runs of the mapped stages completed: by the history where there is one.
fn completed(host: &Host, flow: &FlowRunFuture) -> Result<u64> {
    let Some(store) = host.store() else {
        let stages = flow.report().stages;
        return Ok(stages.iter().filter(|stage| stage.mapped).map(|stage| stage.completed).sum());
    };
    let stages = Reader::open(store.dir())?.stages(flow.id()).context("the history")?;
    let all: u64 = stages.iter().map(|stage| stage.counts.completed).sum();
    // The task that makes the numbers is none of the map.
    Ok(all.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_maps_over_the_one_before() {
        let text = text(Path::new("/a/guest.wasm"), &["next", "next"]);
        assert!(text.contains("result = \"stage-2.result\""), "{text}");
        assert!(text.contains("[tasks.stage-2]\ncall = \"guest.next\""), "{text}");
        assert!(text.contains("arguments.number = { map = \"stage-1.result\" }"), "{text}");
    }
}
