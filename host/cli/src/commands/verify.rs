//! `sandmill verify`: the same call on every executor, and whether the answers are the same bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use sandmill::core::units::format_duration;
use sandmill::transport::Address;
use sandmill::value::Bounds;
use sandmill::{Call, CallOptions, Component, Digest, Outcome};
use serde::Serialize;

use crate::arguments::{self, Arguments, Assignment};
use crate::config::{Config, EngineSettings, ExecutorKind, IsolationChoice};
use crate::error::{CliError, Result};
use crate::flags::{GrantFlags, HostFlags, LimitFlags, Settings};
use crate::output::{OutcomeJson, Results, Table, Ui};
use crate::session::Opening;
use crate::{exit_code, schema, session, signals};

const EXAMPLES: &str = "\
Examples:
  sandmill verify montecarlo.wasm estimate -a seed=7 -a samples=10000
  sandmill verify montecarlo.wasm estimate '{\"seed\": 7, \"samples\": 10000}' --host tls://a:7070 --token @join
  sandmill verify montecarlo.wasm estimate -a seed=7 -a samples=10000 --engine nats://queue.example

The call is made inline, in a pool of threads, in a pool of processes, on a worker that is started
for it, and on the hosts or at the engine that is named. A run without grants is a pure function of
the component, the task and the arguments, so the answers are the same bytes, failures too. What a run
with grants reaches may differ from place to place: then a difference proves nothing, and that is said.

Exit codes: 0 the answers are equal, 1 they differ, 2 the arguments do not fit, 3 an executor could
not be had, 130 interrupted.";

/// Runs one task on every executor and compares the answers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The component: a .wasm file.
    component: std::path::PathBuf,
    /// The task.
    task: String,
    /// Arguments as one JSON object by parameter name.
    json: Option<String>,
    /// An argument: VALUE is JSON, else a string; `@FILE` is what is in the file.
    #[arg(short = 'a', long = "arg", value_name = "NAME=VALUE", value_parser = clap::value_parser!(Assignment))]
    arguments: Vec<Assignment>,
    #[command(flatten)]
    hosts: HostFlags,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    grants: GrantFlags,
}

impl VerifyArgs {
    /// The flags that stand for settings.
    pub(crate) fn settings(&self) -> Settings {
        [self.hosts.settings(), self.limits.settings()].concat()
    }
}

/// The comparison in JSON: `docs/schemas/verify.json`.
#[derive(Serialize)]
struct VerifyJson<'a> {
    component: String,
    task: &'a str,
    equal: bool,
    /// Whether the answers have to be equal: nothing is granted.
    pure: bool,
    /// What is granted.
    grants: Vec<&'static str>,
    executors: Vec<AnswerJson<'a>>,
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    executor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeJson<'a>>,
    /// Of the outcome's bytes; none where the executor could not be had.
    digest: Option<String>,
    bytes: Option<u64>,
    /// Whether it is what most say, the first of them where they are as many.
    equal: bool,
    wall_micros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What one executor said.
struct Answer {
    executor: String,
    outcome: Result<Outcome>,
    took: Duration,
}

impl Answer {
    /// The outcome as bytes that two hosts can compare: of a value its MessagePack, of a failure all
    /// that its author said, of an end its kind. What an end says beside that is for people, and may
    /// speak of the place.
    fn bytes(&self) -> Option<Vec<u8>> {
        let outcome = self.outcome.as_ref().ok()?;
        Some(match outcome {
            Outcome::Value(value) => [b"value\0", value.as_bytes()].concat(),
            Outcome::Failure(failure) => {
                let details = failure.details.as_ref().map(|it| it.as_bytes()).unwrap_or_default();
                let (kind, message) = (failure.kind.as_bytes(), failure.message.as_bytes());
                [b"failure\0", kind, b"\0", message, b"\0", details].concat()
            }
            Outcome::Ended(end) => format!("ended\0{:?}", end.kind).into_bytes(),
        })
    }
}

/// Makes the call everywhere and compares.
pub(crate) fn verify(args: &VerifyArgs, ui: &Arc<Ui>, config: &Config) -> Result<u8> {
    let component = session::load(&args.component)?;
    signals::listen();
    let mut config = config.clone();
    // One run needs one slot and one process.
    config.slots = 1;
    let options = session::call_options(&config, args.grants.grants());
    let call = prepared(args, &config, &component, options)?;
    let mut places = vec![
        ("inline".to_owned(), at(&config, ExecutorKind::Inline)),
        ("pool, threads".to_owned(), isolated(&config, IsolationChoice::Threads)),
        ("pool, processes".to_owned(), isolated(&config, IsolationChoice::Processes)),
        ("remote, local worker".to_owned(), temporary(&config)),
    ];
    if config.engine.is_named() {
        places.push(("remote, engine".to_owned(), at(&config, ExecutorKind::Remote)));
    } else {
        let hosts = config.remote.hosts.iter();
        places.extend(hosts.map(|host| (format!("remote, {host}"), alone(&config, host))));
    }
    let mut answers = Vec::new();
    for (name, (config, kind)) in &places {
        if signals::interrupted() {
            return Err(CliError::interrupted());
        }
        let began = Instant::now();
        let outcome = ask(ui, config, *kind, &call);
        let took = began.elapsed();
        answers.push(Answer { executor: name.clone(), outcome, took });
    }
    if signals::interrupted() {
        return Err(CliError::interrupted());
    }
    report(args, ui, &component, &call, &answers)
}

type Place = (Config, ExecutorKind);

fn at(config: &Config, kind: ExecutorKind) -> Place {
    let mut config = config.clone();
    config.remote.by_flag = false;
    (config, kind)
}

fn isolated(config: &Config, isolation: IsolationChoice) -> Place {
    let (mut config, kind) = at(config, ExecutorKind::Pool);
    config.isolation = isolation;
    (config, kind)
}

/// One of the hosts, so that each of them is asked.
fn alone(config: &Config, host: &Address) -> Place {
    let (mut config, kind) = at(config, ExecutorKind::Remote);
    config.remote.hosts = vec![host.clone()];
    (config, kind)
}

/// A worker that is started for it, whatever hosts there are.
fn temporary(config: &Config) -> Place {
    let (mut config, kind) = at(config, ExecutorKind::Remote);
    config.engine = EngineSettings::default();
    config.remote.hosts.clear();
    config.remote.workers = Some(1);
    config.remote.adapt = None;
    (config, kind)
}

/// The call, its arguments checked.
fn prepared(
    args: &VerifyArgs,
    config: &Config,
    component: &Component,
    options: CallOptions,
) -> Result<Call> {
    let (config, kind) = at(config, ExecutorKind::Inline);
    let host = Opening::new(&config, kind).open()?;
    let info = session::inspect(&host, component)?;
    let task = session::task(&info, component, &args.task)?;
    let max_bytes = usize::try_from(options.limits.input).unwrap_or(usize::MAX);
    let bounds = Bounds { max_bytes, ..Bounds::DEFAULT };
    let parameters = schema::parameters(&task.parameters);
    let mut given = Arguments::of(&args.arguments, parameters.as_deref(), &bounds);
    if let Some(json) = &args.json {
        given.add_json(json);
    }
    if let Some(parameters) = &parameters {
        given.check(parameters, None);
    }
    let given = arguments::map_of(&given.checked(&args.task)?, bounds)?;
    Ok(Call::new(component, args.task.as_str(), given).with_options(options))
}

/// Makes the call on one executor.
fn ask(ui: &Arc<Ui>, config: &Config, kind: ExecutorKind, call: &Call) -> Result<Outcome> {
    let host = Opening::new(config, kind).open()?;
    session::cancel_on_interrupt(ui, &host);
    let future = host.submit(call.clone());
    future.wait(None);
    let outcome = future.outcome();
    drop(future);
    outcome.ok_or_else(|| CliError::infrastructure("the run did not end"))
}

/// What most answers are; the first of them where they are as many.
fn common(answers: &[Option<Vec<u8>>]) -> Option<&Vec<u8>> {
    let count = |one: &Vec<u8>| answers.iter().flatten().filter(|other| *other == one).count();
    let mut best: Option<(&Vec<u8>, usize)> = None;
    for one in answers.iter().flatten() {
        let count = count(one);
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((one, count));
        }
    }
    best.map(|(one, _)| one)
}

fn report(
    args: &VerifyArgs,
    ui: &Ui,
    component: &Component,
    call: &Call,
    answers: &[Answer],
) -> Result<u8> {
    let bytes: Vec<Option<Vec<u8>>> = answers.iter().map(Answer::bytes).collect();
    let common = common(&bytes);
    let failed = answers.iter().any(|answer| answer.outcome.is_err() || is_of_host(answer));
    let equal = bytes.iter().all(|one| one.as_ref() == common);
    let grants = call.options.grants.names();
    if ui.is_json() {
        let executors = answers.iter().zip(&bytes).map(|(answer, bytes)| AnswerJson {
            executor: &answer.executor,
            outcome: answer.outcome.as_ref().ok().map(OutcomeJson::of),
            digest: bytes.as_ref().map(|bytes| Digest::of(bytes).to_string()),
            bytes: bytes.as_ref().map(|bytes| bytes.len() as u64),
            equal: bytes.is_some() && bytes.as_ref() == common,
            wall_micros: u64::try_from(answer.took.as_micros()).unwrap_or(u64::MAX),
            error: answer.outcome.as_ref().err().map(words),
        });
        let executors = executors.collect();
        Results::new(ui).json(&VerifyJson {
            component: component.digest().to_string(),
            task: &args.task,
            equal: equal && !failed,
            pure: grants.is_empty(),
            grants: grants.clone(),
            executors,
        })?;
    } else {
        Results::new(ui).print(&table(answers, &bytes, common))?;
    }
    if !grants.is_empty() {
        ui.talk(format_args!(
            "the call is not pure ({} granted): its answers need not be equal",
            grants.join(", ")
        ));
    }
    for answer in answers {
        if let Err(error) = &answer.outcome {
            ui.error(&CliError {
                message: format!("{}: {}", answer.executor, error.message),
                ..error.clone()
            });
        }
    }
    Ok(match (failed, equal) {
        (true, _) => exit_code::INFRASTRUCTURE,
        (false, true) => {
            ui.step("Equal", format_args!("{} answers, byte for byte", answers.len()));
            exit_code::SUCCESS
        }
        (false, false) => {
            ui.warn("the answers differ", &[]);
            exit_code::RUN_FAILED
        }
    })
}

/// Whether the answer is none of the guest's: the host lost it, or failed itself.
fn is_of_host(answer: &Answer) -> bool {
    use sandmill::EndKind;
    matches!(&answer.outcome, Ok(Outcome::Ended(end))
        if matches!(end.kind, EndKind::HostLost | EndKind::HostError))
}

fn words(error: &CliError) -> String {
    std::iter::once(&error.message).chain(&error.details).cloned().collect::<Vec<_>>().join(": ")
}

fn table(answers: &[Answer], bytes: &[Option<Vec<u8>>], common: Option<&Vec<u8>>) -> String {
    let mut table = Table::right_aligned([2, 5]);
    table.row(["EXECUTOR", "OUTCOME", "BYTES", "DIGEST", "SAME", "TIME"]);
    for (answer, bytes) in answers.iter().zip(bytes) {
        let took = format_duration(answer.took);
        let (outcome, size, digest, same) = match (&answer.outcome, bytes) {
            (Ok(outcome), Some(bytes)) => {
                let same = if Some(bytes) == common { "yes" } else { "NO" };
                let digest = Digest::of(bytes).short().to_string();
                (outcome.name(), bytes.len().to_string(), digest, same)
            }
            _ => ("not had", "-".to_owned(), "-".to_owned(), "-"),
        };
        table.row([
            answer.executor.clone(),
            outcome.to_owned(),
            size,
            digest,
            same.to_owned(),
            took,
        ]);
    }
    table.lines("").join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_say_is_common() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(common(&[some("a"), some("b"), some("b")]), some("b").as_ref());
        assert_eq!(common(&[some("a"), some("b")]), some("a").as_ref());
        assert_eq!(common(&[None, None]), None);
    }
}
