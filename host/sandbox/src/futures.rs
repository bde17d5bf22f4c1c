//! `sandmill:task/futures`: a flow's handles on its runs. Everything that is asked goes to the
//! run's [`FlowCalls`], on the thread of the flow's instance, which it may block. What a call says
//! is checked in `flow_call`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{
    FlowCalls, FlowEnd, FlowNext, FlowReturnWhen, FlowWatched, FutureKey, State as RunState,
    StateType,
};
use sandmill_wire::value::ValueError;
use sandmill_wire::{End, Outcome};
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::bindings::flow::sandmill::task::futures as wit;
use crate::bindings::sandmill::task::types;
use crate::flow_call::{self, ValueLimits, check_count};
use crate::host::State;

/// Futures in one `wait`.
pub const MAX_WAITED: usize = 100_000;

/// A guest that uses the interface as it must not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misuse {
    #[error("only a flow may call tasks: this is the run of a task, or its component is described")]
    NotAFlow,
    #[error("{count} {what} are too many, the limit is {limit}")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error("{what} has {bytes} bytes, the limit is {limit}")]
    TooLong { what: &'static str, bytes: usize, limit: usize },
    #[error("{what} has control characters")]
    ControlCharacter { what: &'static str },
    #[error("{what} is not a number from 0 up")]
    Number { what: &'static str },
    #[error("the arguments of a call have more than {limit} bytes")]
    ArgumentsTooLarge { limit: u64 },
    #[error("an argument of a call is not MessagePack: {0}")]
    Value(ValueError),
    #[error("the run at position {index} of a list of {length} was asked for")]
    BeyondEnd { index: u64, length: u64 },
    #[error("a run of a list that has none, because its map failed, was asked for")]
    NoRuns,
}

/// The end of a flow that its [`FlowCalls`] decided: no instruction of it runs any more.
#[derive(Debug, thiserror::Error)]
#[error("the flow was ended: {}", .0.message)]
pub(crate) struct Ended(pub(crate) End);

/// A handle on one run.
#[expect(unreachable_pub, reason = "the bindings export it under another name")]
pub struct FutureHandle {
    pub(crate) key: FutureKey,
}

/// A handle on the runs of a map.
#[expect(unreachable_pub, reason = "as `FutureHandle`")]
pub struct ListHandle {
    pub(crate) command: u32,
    /// Once it is known.
    length: Option<u64>,
}

/// A handle on a set of runs that are watched.
#[expect(unreachable_pub, reason = "as `FutureHandle`")]
pub struct WatchHandle {
    set: u32,
}

pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl State {
    /// Asks whoever makes the flow's calls. Time that passes there is not the flow's own.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut dyn FlowCalls) -> Result<T, End>,
    ) -> wasmtime::Result<T> {
        let calls = self.flow.as_deref_mut().ok_or(Misuse::NotAFlow)?;
        let start = Instant::now();
        let answer = question(calls);
        self.stop.allow(start.elapsed());
        // What a flow says again because it is taken up again was told before.
        let again = calls.is_replaying();
        self.tell_nothing(again);
        answer.map_err(|end| Ended(end).into())
    }

    /// Tells whoever makes the flow's calls of handles that come and go.
    fn tell(&mut self, news: impl FnOnce(&mut dyn FlowCalls)) {
        if let Some(calls) = self.flow.as_deref_mut() {
            news(calls);
        }
    }

    fn value_limits(&self) -> ValueLimits {
        ValueLimits { bytes: self.identity.options.limits.input }
    }

    fn new_future(&mut self, key: FutureKey) -> wasmtime::Result<Resource<FutureHandle>> {
        Ok(self.table.push(FutureHandle { key })?)
    }

    fn key(&self, future: &Resource<FutureHandle>) -> wasmtime::Result<FutureKey> {
        Ok(self.table.get(future)?.key)
    }

    fn length_of(
        &mut self,
        list: &Resource<ListHandle>,
    ) -> wasmtime::Result<Result<u64, Box<FlowEnd>>> {
        let ListHandle { command, length } = *self.table.get(list)?;
        if let Some(length) = length {
            return Ok(Ok(length));
        }
        let length = self.ask(|calls| calls.length(command))?;
        if let Ok(length) = length {
            self.table.get_mut(list)?.length = Some(length);
        }
        Ok(length)
    }
}

const fn nanos(time: Option<u64>) -> Option<Duration> {
    match time {
        Some(time) => Some(Duration::from_nanos(time)),
        None => None,
    }
}

fn state_type(kind: StateType) -> wit::StateType {
    match kind {
        StateType::Scheduled => wit::StateType::Scheduled,
        StateType::Pending => wit::StateType::Pending,
        StateType::Running => wit::StateType::Running,
        StateType::Completed => wit::StateType::Completed,
        StateType::Failed => wit::StateType::Failed,
        StateType::Crashed => wit::StateType::Crashed,
        StateType::Cancelled => wit::StateType::Cancelled,
        StateType::Cancelling => wit::StateType::Cancelling,
        StateType::Paused => wit::StateType::Paused,
    }
}

fn state_of(state: &RunState) -> wit::State {
    wit::State {
        kind: state_type(state.kind),
        name: state.name.clone().into_owned(),
        message: state.message.as_deref().map(str::to_owned),
    }
}

fn result_of(end: FlowEnd) -> Result<Vec<u8>, wit::ResultError> {
    let failure = match end.outcome {
        Outcome::Value(value) => return Ok(value.as_bytes().to_vec()),
        Outcome::Failure(failure) => Some(types::Failure {
            kind: failure.kind,
            message: failure.message,
            retriable: failure.retriable,
            details: failure.details.map(|details| details.as_bytes().to_vec()),
        }),
        Outcome::Ended(_) => None,
    };
    Err(wit::ResultError::Run(wit::RunError {
        run: end.run.to_string(),
        name: end.name.to_string(),
        state: state_of(&end.state),
        failure,
    }))
}

impl wit::Host for State {
    fn submit(
        &mut self,
        target: wit::Target,
        arguments: Vec<(String, wit::Argument)>,
        options: wit::CallOptions,
    ) -> wasmtime::Result<Resource<FutureHandle>> {
        let target = flow_call::target(target, options)?;
        let arguments = self.value_limits().arguments(&self.table, arguments)?;
        let command = self.ask(|calls| calls.submit(target, arguments))?;
        self.new_future(FutureKey { command, index: None })
    }

    fn map(
        &mut self,
        target: wit::Target,
        each: Vec<(String, wit::Elements)>,
        same: Vec<(String, wit::Argument)>,
        options: wit::CallOptions,
    ) -> wasmtime::Result<Resource<ListHandle>> {
        let target = flow_call::target(target, options)?;
        let (each, same) = self.value_limits().mapped(&self.table, each, same)?;
        let command = self.ask(|calls| calls.map(target, each, same))?;
        Ok(self.table.push(ListHandle { command, length: None })?)
    }

    fn wait(
        &mut self,
        futures: Vec<Resource<FutureHandle>>,
        timeout: Option<u64>,
        until: wit::ReturnWhen,
    ) -> wasmtime::Result<Vec<bool>> {
        check_count("futures to wait for", futures.len(), MAX_WAITED)?;
        let keys: wasmtime::Result<Vec<FutureKey>> =
            futures.iter().map(|future| self.key(future)).collect();
        let keys = keys?;
        let until = match until {
            wit::ReturnWhen::All => FlowReturnWhen::All,
            wit::ReturnWhen::First => FlowReturnWhen::First,
            wit::ReturnWhen::FirstError => FlowReturnWhen::FirstError,
        };
        self.ask(|calls| calls.wait(&keys, nanos(timeout), until))
    }

    fn sleep(&mut self, nanoseconds: u64) -> wasmtime::Result<()> {
        self.ask(|calls| calls.sleep(Duration::from_nanos(nanoseconds)))
    }
}

impl wit::HostTaskFuture for State {
    fn id(&mut self, future: Resource<FutureHandle>) -> wasmtime::Result<String> {
        let key = self.key(&future)?;
        Ok(self.ask(|calls| calls.identity(key))?.0.to_string())
    }

    fn name(&mut self, future: Resource<FutureHandle>) -> wasmtime::Result<String> {
        let key = self.key(&future)?;
        let name: Arc<str> = self.ask(|calls| calls.identity(key))?.1;
        Ok(name.to_string())
    }

    fn map_index(&mut self, future: Resource<FutureHandle>) -> wasmtime::Result<Option<u64>> {
        Ok(self.key(&future)?.index)
    }

    fn state(&mut self, future: Resource<FutureHandle>) -> wasmtime::Result<wit::State> {
        let key = self.key(&future)?;
        Ok(state_of(&self.ask(|calls| calls.state(key))?))
    }

    fn wait(
        &mut self,
        future: Resource<FutureHandle>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<wit::State> {
        let key = self.key(&future)?;
        // Not `end`: the result, which may be large, is not asked for.
        self.ask(|calls| calls.wait(&[key], nanos(timeout), FlowReturnWhen::All))?;
        Ok(state_of(&self.ask(|calls| calls.state(key))?))
    }

    fn result(
        &mut self,
        future: Resource<FutureHandle>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<Vec<u8>, wit::ResultError>> {
        let key = self.key(&future)?;
        let end = self.ask(|calls| calls.end(key, nanos(timeout)))?;
        Ok(end.map_or(Err(wit::ResultError::Timeout), |end| result_of(*end)))
    }

    fn cancel(&mut self, future: Resource<FutureHandle>) -> wasmtime::Result<()> {
        let key = self.key(&future)?;
        self.ask(|calls| calls.cancel(FlowWatched::One(key)))
    }

    fn duplicate(
        &mut self,
        future: Resource<FutureHandle>,
    ) -> wasmtime::Result<Resource<FutureHandle>> {
        let key = self.key(&future)?;
        self.tell(|calls| calls.hold(FlowWatched::One(key)));
        self.new_future(key)
    }

    fn drop(&mut self, future: Resource<FutureHandle>) -> wasmtime::Result<()> {
        let key = self.table.delete(future)?.key;
        self.tell(|calls| calls.let_go(FlowWatched::One(key)));
        Ok(())
    }
}

impl wit::HostFutureList for State {
    fn length(
        &mut self,
        list: Resource<ListHandle>,
    ) -> wasmtime::Result<Result<u64, wit::ResultError>> {
        Ok(match self.length_of(&list)? {
            Ok(length) => Ok(length),
            // An end with a value is no reason to have no runs; whoever says so has a fault.
            Err(end) => Err(result_of(*end).err().unwrap_or(wit::ResultError::Timeout)),
        })
    }

    fn get(
        &mut self,
        list: Resource<ListHandle>,
        index: u64,
    ) -> wasmtime::Result<Resource<FutureHandle>> {
        let length = self.length_of(&list)?.map_err(|_| Misuse::NoRuns)?;
        if index >= length {
            return Err(Misuse::BeyondEnd { index, length }.into());
        }
        let command = self.table.get(&list)?.command;
        let key = FutureKey { command, index: Some(index) };
        self.tell(|calls| calls.hold(FlowWatched::One(key)));
        self.new_future(key)
    }

    fn cancel(&mut self, list: Resource<ListHandle>) -> wasmtime::Result<()> {
        let command = self.table.get(&list)?.command;
        self.ask(|calls| calls.cancel(FlowWatched::All(command)))
    }

    fn drop(&mut self, list: Resource<ListHandle>) -> wasmtime::Result<()> {
        let command = self.table.delete(list)?.command;
        self.tell(|calls| calls.let_go(FlowWatched::All(command)));
        Ok(())
    }
}

impl wit::HostCompletions for State {
    fn new(&mut self) -> wasmtime::Result<Resource<WatchHandle>> {
        let set = self.ask(|calls| calls.watch())?;
        Ok(self.table.push(WatchHandle { set })?)
    }

    fn add(
        &mut self,
        completions: Resource<WatchHandle>,
        future: Resource<FutureHandle>,
    ) -> wasmtime::Result<()> {
        let (set, key) = (self.table.get(&completions)?.set, self.key(&future)?);
        self.ask(|calls| calls.add_watched(set, FlowWatched::One(key)))
    }

    fn add_list(
        &mut self,
        completions: Resource<WatchHandle>,
        list: Resource<ListHandle>,
    ) -> wasmtime::Result<()> {
        let (set, command) = (self.table.get(&completions)?.set, self.table.get(&list)?.command);
        self.ask(|calls| calls.add_watched(set, FlowWatched::All(command)))
    }

    fn next(
        &mut self,
        completions: Resource<WatchHandle>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<Option<wit::Completed>, (u64, u64)>> {
        let set = self.table.get(&completions)?.set;
        Ok(match self.ask(|calls| calls.next(set, nanos(timeout)))? {
            FlowNext::Completed { key, source } => {
                Ok(Some(wit::Completed { future: self.new_future(key)?, source }))
            }
            FlowNext::Exhausted => Ok(None),
            FlowNext::Timeout { unfinished, total } => Err((unfinished, total)),
        })
    }

    fn drop(&mut self, completions: Resource<WatchHandle>) -> wasmtime::Result<()> {
        let set = self.table.delete(completions)?.set;
        self.tell(|calls| calls.unwatch(set));
        Ok(())
    }
}
