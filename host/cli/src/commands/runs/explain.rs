//! `sandmill runs explain`: why a run failed, or why it is not running, in words, from the nearest
//! cause to the first one, and what can be done.

use sandmill::store::{FlowRecord, Reader, RunFilter, RunRecord, StageSummary};
use sandmill::{RunId, StateType};
use serde::Serialize;

use super::args::OneArgs;
use super::counts::RunCounts;
use super::find::{self, Found};
use super::json::{flow_record, run_record};
use super::names::Names;
use super::watch::hooks;
use super::{waiting, words};
use crate::config::Config;
use crate::error::Result;
use crate::exit_code;
use crate::output::progress::is_hook;
use crate::output::{Results, StateJson, Ui, escape, moment};
use crate::stores::{self, store_error};
use crate::text::{counted, thousands};

/// Runs that failed that are named of a flow run.
const NAMED: usize = 3;
/// How far the chain of causes is followed.
const LONGEST_CHAIN: usize = 50;
/// Below so many free bytes a disk counts as full.
const FULL_BELOW: u64 = 1 << 20;

/// An explanation, and its JSON: `docs/schemas/runs-explain.json`.
#[derive(Serialize)]
pub(super) struct Explanation {
    run_id: String,
    name: String,
    state: StateJson,
    reasons: Vec<String>,
    hints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

/// Explains a flow run or a run.
pub(super) fn explain(args: &OneArgs, ui: &Ui, config: &Config, reader: &Reader) -> Result<u8> {
    let (explanation, head) = match find::any(reader, &args.id)? {
        Found::Flow(flow) => {
            let record = flow_record(reader, flow)?;
            let head = words::state_cell(&record.state);
            (Explainer { reader, config, flow: record, parts: Parts::default() }.flow()?, head)
        }
        Found::Run(flow, key) => {
            let record = run_record(reader, flow, key)?;
            let head = words::state_cell(&record.state);
            let flow = flow_record(reader, flow)?;
            (Explainer { reader, config, flow, parts: Parts::default() }.run(&record)?, head)
        }
    };
    if ui.is_json() {
        Results::new(ui).json(&explanation)?;
        return Ok(exit_code::SUCCESS);
    }
    let name = escape::line(&explanation.name);
    let mut lines = vec![format!("{name} {}  {head}", explanation.run_id)];
    lines.extend(explanation.reasons.iter().map(|reason| format!("  {}", escape::line(reason))));
    let cyan = console::Style::new().cyan().bold();
    let hint = |hint: &String| format!("{}: {hint}", cyan.apply_to("hint"));
    lines.extend(explanation.hints.iter().map(hint));
    Results::new(ui).print(&lines.join("\n"))?;
    Ok(exit_code::SUCCESS)
}

#[derive(Default)]
struct Parts {
    reasons: Vec<String>,
    hints: Vec<String>,
    cause: Option<RunId>,
}

struct Explainer<'a> {
    reader: &'a Reader,
    config: &'a Config,
    flow: FlowRecord,
    parts: Parts,
}

impl Explainer<'_> {
    fn say(&mut self, reason: impl Into<String>) {
        self.parts.reasons.push(reason.into());
    }

    fn hint(&mut self, hint: impl Into<String>) {
        self.parts.hints.push(hint.into());
    }

    fn flow(mut self) -> Result<Explanation> {
        let flow = self.flow.clone();
        let stages = self.reader.stages(flow.run).map_err(|error| store_error(&error))?;
        let counts = RunCounts::of_all(&stages, flow.based_on.is_some());
        match flow.state.kind {
            StateType::Paused => {
                self.interrupted(&flow.state);
                let done = counts.done;
                self.say(format!(
                    "{} ended before that and are not done again",
                    counted(done, "run")
                ));
            }
            StateType::Completed => {
                self.say(format!("it came to its end: {}", words::counts(&counts)));
                if counts.bad() > 0 {
                    self.failures(flow.run, &stages)?;
                    self.hint(format!(
                        "`sandmill runs rerun {} --failed` runs again what failed",
                        flow.run
                    ));
                }
            }
            StateType::Failed | StateType::Crashed => {
                self.say(format!(
                    "it ended {}{}",
                    words::state_name(&flow.state),
                    words::because(&flow.state)
                ));
                self.failures(flow.run, &stages)?;
                self.hint(format!(
                    "`sandmill runs rerun {} --failed` runs again what failed",
                    flow.run
                ));
            }
            StateType::Cancelled => {
                self.say(format!("it was cancelled{}", words::because(&flow.state)));
                self.hint(format!("`sandmill runs rerun {}` runs it again", flow.run));
            }
            _ => self.under_way(&counts)?,
        }
        self.hooks(flow.run, &stages)?;
        if let Some(of) = flow.based_on {
            self.say(format!(
                "it uses results of flow run {of} again: {} of them",
                thousands(counts.reused)
            ));
        }
        Ok(self.done(flow.run, flow.name.to_string(), &flow.state))
    }

    fn run(mut self, run: &RunRecord) -> Result<Explanation> {
        let names = Names::read(self.reader, self.flow.run)?;
        let tries =
            self.reader.attempts(self.flow.run, run.key).map_err(|error| store_error(&error))?;
        match run.state.kind {
            StateType::Scheduled => {
                let at = tries.last().and_then(|attempt| attempt.retry_at);
                let until = at.map(|at| {
                    format!(" until {} ({})", moment::utc(at), moment::ago(at, moment::now()))
                });
                self.say(format!("it waits for its next attempt{}", until.unwrap_or_default()));
            }
            StateType::Pending => {
                let (why, of_hosts) = waiting::of_run(self.reader, &self.flow, run, &names)?;
                self.say(why);
                if of_hosts {
                    self.hint(waiting::HINT);
                }
            }
            StateType::Running => self.say("it is running"),
            StateType::Cancelling => self.say("it was asked to stop and has not yet"),
            StateType::Paused => self.interrupted(&run.state),
            StateType::Completed if run.state.name == "Cached" => self.say(match run.value_of {
                Some(from) => format!("its value came from the cache: run {from} made it"),
                None => "its value came from the cache".to_owned(),
            }),
            StateType::Completed if run.state.name == "Skipped" => {
                self.say(format!("it was skipped{}", words::because(&run.state)));
            }
            StateType::Completed => match run.value_of {
                Some(from) => {
                    self.say(format!("its value is that of run {from}, which was used again"))
                }
                None => self.say("it returned a value"),
            },
            StateType::Cancelled => {
                self.say(format!("it was cancelled{}", words::because(&run.state)))
            }
            StateType::Failed | StateType::Crashed => {
                self.chain(run, &names)?;
            }
        }
        if tries.len() > 1 || run.state.kind == StateType::Scheduled {
            let lines: Vec<String> = tries.iter().map(words::attempt).collect();
            lines.into_iter().for_each(|line| self.say(line));
        }
        if run.state.kind == StateType::Failed && self.parts.cause.is_none() {
            let outcome = self.reader.outcome(self.flow.run, run.key);
            let outcome = outcome.map_err(|error| store_error(&error))?;
            let hints = outcome.map(|outcome| crate::session::hints(&outcome));
            hints.into_iter().flatten().for_each(|hint| self.hint(hint));
            self.hint(format!("`sandmill runs logs {}` prints what it logged", run.run));
        }
        let name = names.run(run.key);
        Ok(self.done(run.run, name, &run.state))
    }

    fn done(self, run: RunId, name: String, state: &sandmill::State) -> Explanation {
        let Parts { reasons, hints, cause } = self.parts;
        let cause = cause.filter(|cause| *cause != run).map(|cause| cause.to_string());
        Explanation {
            run_id: run.to_string(),
            name,
            state: StateJson::of(state),
            reasons,
            hints,
            cause,
        }
    }

    fn interrupted(&mut self, state: &sandmill::State) {
        let (at, now) = (state.at, moment::now());
        let when = format!("{} ({})", moment::utc(at), moment::ago(at, now));
        let why = words::because(state).replacen(": interrupted; ", ": ", 1);
        self.say(format!("it was interrupted {when}{why}"));
        self.hint(format!("`sandmill runs resume {}` goes on with it", self.flow.run));
        if let Some(holder) = self.reader.holder() {
            self.say(format!(
                "process {} ({}) writes to the data directory now: resuming waits for it or is refused",
                holder.pid, holder.holder
            ));
        }
    }

    /// Why a flow that somebody runs has not ended.
    fn under_way(&mut self, counts: &RunCounts) -> Result<()> {
        match self.reader.holder() {
            Some(holder) => self.say(format!(
                "process {} ({}) runs it, since {}",
                holder.pid,
                holder.holder,
                moment::utc(holder.since)
            )),
            None => self.say("it has not been taken up by anybody yet"),
        }
        self.say(words::counts(counts));
        let filter =
            RunFilter { states: vec![StateType::Scheduled], limit: NAMED, ..RunFilter::default() };
        let waiting =
            self.reader.runs(self.flow.run, &filter).map_err(|error| store_error(&error))?;
        if !waiting.is_empty() {
            let names = Names::read(self.reader, self.flow.run)?;
            for run in waiting {
                let tries = self.reader.attempts(self.flow.run, run.key);
                let tries = tries.map_err(|error| store_error(&error))?;
                let at = tries.last().and_then(|attempt| attempt.retry_at);
                let when = at.map(|at| format!(" {}", moment::ago(at, moment::now())));
                self.say(format!(
                    "{} is tried again{}{}",
                    names.run(run.key),
                    when.unwrap_or_default(),
                    words::because(&run.state)
                ));
            }
        }
        let reasons = waiting::of_flow(self.reader, &self.flow, NAMED)?;
        if !reasons.is_empty() {
            self.hint(waiting::HINT);
        }
        reasons.into_iter().for_each(|reason| self.say(reason));
        let free = stores::directory(self.config).ok().and_then(stores::free_bytes);
        if free.is_some_and(|free| free < FULL_BELOW) {
            self.say("the disk of the data directory is full: nothing new is started until there is room");
            self.hint("make room on that disk; the flow goes on by itself");
        }
        Ok(())
    }

    /// The first runs that failed by themselves, and how many did not start: because of them, or
    /// because their own triggers did not hold.
    fn failures(&mut self, flow: RunId, stages: &[StageSummary]) -> Result<()> {
        let states = vec![StateType::Failed, StateType::Crashed];
        let filter = RunFilter { states, ..RunFilter::default() };
        let found = self.reader.runs(flow, &filter).map_err(|error| store_error(&error))?;
        let names = Names::of(stages);
        // Of more than one page, only that there are more is known.
        let or_more = if found.len() < filter.limit { "" } else { " or more" };
        let found: Vec<RunRecord> =
            found.into_iter().filter(|run| !is_hook(run.key.stage)).collect();
        let (unstarted, own): (Vec<_>, Vec<_>) = found.iter().partition(|run| is_unstarted(run));
        let (blaming, unmet): (Vec<&RunRecord>, Vec<_>) =
            unstarted.into_iter().partition(|run| named_run(&run.state).is_some());
        for run in own.iter().take(NAMED) {
            let (name, state) = (names.run(run.key), words::state_name(&run.state));
            self.say(format!("{name} (run {}) {state}{}", run.run, words::because(&run.state)));
        }
        if own.len() > NAMED {
            self.say(format!(
                "and {}{or_more} others: `sandmill runs show {flow} --state failed`",
                thousands((own.len() - NAMED) as u64)
            ));
        }
        if !blaming.is_empty() {
            let many = thousands(blaming.len() as u64);
            let runs = if blaming.len() == 1 { "run" } else { "runs" };
            self.say(format!("{many}{or_more} {runs} never started because of that"));
        }
        for run in unmet.iter().take(NAMED) {
            let name = names.run(run.key);
            self.say(format!("{name} never started{}", words::because(&run.state)));
        }
        if unmet.len() > NAMED {
            let many = thousands((unmet.len() - NAMED) as u64);
            self.say(format!("and {many}{or_more} others for a reason of their own"));
        }
        if let Some(first) = own.iter().min_by_key(|run| run.state.at) {
            let (deepest, depth) = self.below((*first).clone())?;
            self.parts.cause = Some(deepest.run);
            if depth == 0 {
                let words =
                    format!("`sandmill runs explain {}` says more of the first one", first.run);
                self.hint(words);
            } else {
                self.deepest(&deepest, depth)?;
            }
        }
        Ok(())
    }

    /// What became of the hooks, where that is not good.
    fn hooks(&mut self, flow: RunId, stages: &[StageSummary]) -> Result<()> {
        for hook in hooks(self.reader, flow, stages)?.iter().filter(|hook| !hook.is_good()) {
            let (first, _) = hook.words();
            self.say(format!("hook {} {first}", hook.name));
        }
        Ok(())
    }

    /// Why a run failed, down to the run where it began.
    fn chain(&mut self, run: &RunRecord, names: &Names) -> Result<()> {
        let mut at = run.clone();
        for _ in 0..LONGEST_CHAIN {
            let name = names.run(at.key);
            self.say(format!(
                "{name} {}{}",
                words::state_name(&at.state),
                words::because(&at.state)
            ));
            self.parts.cause = (at.run != run.run).then_some(at.run);
            let next = if at.state.name == "TriggerFailed" { named_run(&at.state) } else { None };
            let Some(next) = next else { break };
            let Ok((flow, key)) = self.reader.find_run(&next.to_string()) else { break };
            let Ok(Some(cause)) = self.reader.run(flow, key) else { break };
            at = cause;
        }
        let (deepest, depth) = self.below(at)?;
        if depth > 0 {
            self.parts.cause = Some(deepest.run);
            return self.deepest(&deepest, depth);
        }
        if let Some(cause) = self.parts.cause {
            self.hint(format!("it began with run {cause}: `sandmill runs explain {cause}`"));
        }
        Ok(())
    }

    /// Where the failure of a run began that is a flow: in the first failed run of its own, and so
    /// on down through flows; and how many flows down that is.
    fn below(&self, run: RunRecord) -> Result<(RunRecord, usize)> {
        let (mut at, mut depth) = (run, 0);
        while depth < LONGEST_CHAIN
            && let Some(next) = self.first_failed(at.run)?
        {
            (at, depth) = (next, depth + 1);
        }
        Ok((at, depth))
    }

    /// The first run of a flow run that failed by itself; none where it is no flow run.
    fn first_failed(&self, flow: RunId) -> Result<Option<RunRecord>> {
        if self.reader.flow(flow).map_err(|error| store_error(&error))?.is_none() {
            return Ok(None);
        }
        let states = vec![StateType::Failed, StateType::Crashed];
        let filter = RunFilter { states, ..RunFilter::default() };
        let found = self.reader.runs(flow, &filter).map_err(|error| store_error(&error))?;
        let own = found.into_iter().filter(|run| !is_hook(run.key.stage) && !is_unstarted(run));
        Ok(own.min_by_key(|run| run.state.at))
    }

    /// Names the run where it began, so many flows further down.
    fn deepest(&mut self, run: &RunRecord, depth: usize) -> Result<()> {
        let (flow, key) =
            self.reader.find_run(&run.run.to_string()).map_err(|error| store_error(&error))?;
        let name = Names::read(self.reader, flow)?.run(key);
        let (state, why) = (words::state_name(&run.state), words::because(&run.state));
        let flows = counted(depth as u64, "flow");
        self.say(format!("it began {flows} further down: {name} (run {}) {state}{why}", run.run));
        self.hint(format!("`sandmill runs explain {}` says more of it", run.run));
        Ok(())
    }
}

/// Whether a run never started, because of others or of its own trigger.
fn is_unstarted(run: &RunRecord) -> bool {
    run.state.name == "TriggerFailed"
}

/// The run that a state's message blames: `… (run 0193…): …`.
fn named_run(state: &sandmill::State) -> Option<RunId> {
    const ID: usize = 36;
    let message = state.message.as_deref()?;
    let (_, rest) = message.split_once("(run ")?;
    rest.get(..ID)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandmill::{End, EndKind, Outcome, State};

    #[test]
    fn the_run_that_is_blamed_is_found_in_the_words() {
        let run = RunId::new();
        let state = |message: String| {
            let outcome: Outcome = End::new(EndKind::UpstreamFailed, message).into();
            State::from_outcome(&outcome, Default::default())
        };
        let message = format!("it depends on `count[3]` (run {run}): Failed: odd");
        assert_eq!(named_run(&state(message)), Some(run));
        for none in ["it depends on `a`: Failed", "(run x)", "(run 0193"] {
            assert_eq!(named_run(&state(none.to_owned())), None);
        }
    }
}
