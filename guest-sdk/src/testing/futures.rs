//! The stand-in for the contract's `futures`: the same face as its bindings. A run is performed
//! when it is called, on this thread and before the call returns, so it has ended when the flow
//! sees it, and the order is that of the calls. Only a stub can make one that never ends.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use super::contract::Completed;
pub(crate) use super::contract::{
    Argument, CachePolicy, CallOptions, Elements, ResultError, RetryDelay, RetryPolicy, ReturnWhen,
    RunError, State, StateType, Target,
};
pub(crate) use super::desk::know;
use super::desk::{self, End};
use crate::codec;

/// One run.
#[derive(Debug)]
struct Run {
    id: String,
    name: String,
    map_index: Option<u64>,
    /// None when it does not end.
    end: RefCell<Option<End>>,
}

impl Run {
    fn state(&self) -> State {
        match &*self.end.borrow() {
            Some(end) => end.state.clone(),
            None => State { kind: StateType::Pending, name: "Pending".to_owned(), message: None },
        }
    }

    fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    fn error(&self, end: &End) -> RunError {
        RunError {
            run: self.id.clone(),
            name: self.name.clone(),
            state: end.state.clone(),
            failure: end.failure.clone(),
        }
    }

    fn cancel(&self) {
        self.end.borrow_mut().get_or_insert_with(End::cancelled);
    }
}

fn never(name: &str) -> ! {
    panic!("the flow waits for {name} without a time, and by its stub that never ends")
}

/// A handle on one run.
#[derive(Clone, Debug)]
pub(crate) struct TaskFuture(Rc<Run>);

impl TaskFuture {
    pub(crate) fn id(&self) -> String {
        self.0.id.clone()
    }

    pub(crate) fn name(&self) -> String {
        self.0.name.clone()
    }

    pub(crate) fn map_index(&self) -> Option<u64> {
        self.0.map_index
    }

    pub(crate) fn state(&self) -> State {
        self.0.state()
    }

    pub(crate) fn wait(&self, timeout: Option<u64>) -> State {
        if !self.0.has_ended() && timeout.is_none() {
            never(&self.0.name);
        }
        self.0.state()
    }

    pub(crate) fn result(&self, timeout: Option<u64>) -> Result<Vec<u8>, ResultError> {
        match &*self.0.end.borrow() {
            Some(End { value: Some(value), .. }) => Ok(value.clone()),
            Some(end) => Err(ResultError::Run(self.0.error(end))),
            None if timeout.is_some() => Err(ResultError::Timeout),
            None => never(&self.0.name),
        }
    }

    pub(crate) fn cancel(&self) {
        self.0.cancel();
    }
}

/// The runs of a map, or why there are none.
#[derive(Debug)]
pub(crate) struct FutureList(Result<Vec<Rc<Run>>, RunError>);

impl FutureList {
    pub(crate) fn length(&self) -> Result<u64, ResultError> {
        match &self.0 {
            Ok(runs) => Ok(runs.len() as u64),
            Err(error) => Err(ResultError::Run(error.clone())),
        }
    }

    pub(crate) fn get(&self, index: u64) -> TaskFuture {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let run = self.runs().get(index).unwrap_or_else(|| panic!("there is no run {index}"));
        TaskFuture(Rc::clone(run))
    }

    pub(crate) fn cancel(&self) {
        self.runs().iter().for_each(|run| run.cancel());
    }

    fn runs(&self) -> &[Rc<Run>] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Runs in the order in which they end, which is that of their calls.
#[derive(Debug, Default)]
pub(crate) struct Completions(RefCell<Watched>);

#[derive(Debug, Default)]
struct Watched {
    left: VecDeque<Rc<Run>>,
    known: BTreeSet<String>,
}

impl Watched {
    fn add(&mut self, run: &Rc<Run>) {
        if self.known.insert(run.id.clone()) {
            self.left.push_back(Rc::clone(run));
        }
    }
}

impl Completions {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&self, future: &TaskFuture) {
        self.0.borrow_mut().add(&future.0);
    }

    pub(crate) fn add_list(&self, list: &FutureList) {
        let mut watched = self.0.borrow_mut();
        list.runs().iter().for_each(|run| watched.add(run));
    }

    pub(crate) fn next(&self, timeout: Option<u64>) -> Result<Option<Completed>, (u64, u64)> {
        let mut watched = self.0.borrow_mut();
        let Some(next) = watched.left.iter().position(|run| run.has_ended()) else {
            return match watched.left.front() {
                None => Ok(None),
                Some(run) if timeout.is_none() => never(&run.name),
                Some(_) => Err((watched.left.len() as u64, watched.known.len() as u64)),
            };
        };
        let run = watched.left.remove(next);
        Ok(run.map(|run| Completed { future: TaskFuture(run) }))
    }
}

/// What became of the runs that a call takes results from.
enum Taken<T> {
    /// They are there.
    Is(T),
    /// This one gave no result; whether it was skipped.
    Blame(String, bool),
    /// One of them never ends.
    Waits,
}

fn taken(run: &Run) -> Taken<Vec<u8>> {
    match &*run.end.borrow() {
        None => Taken::Waits,
        Some(End { value: Some(value), .. }) => Taken::Is(value.clone()),
        Some(end) => Taken::Blame(run.name.clone(), end.state.name == "Skipped"),
    }
}

fn same(argument: &Argument<'_>) -> Taken<Vec<u8>> {
    let list = match argument {
        Argument::Value(bytes) => return Taken::Is(bytes.clone()),
        Argument::Result(future) => return taken(&future.0),
        Argument::Results(list) => list,
    };
    match &list.0 {
        Err(error) => Taken::Blame(error.name.clone(), false),
        Ok(runs) => {
            let mut values = Vec::with_capacity(runs.len());
            for run in runs {
                match taken(run) {
                    Taken::Is(value) => values.push(value),
                    other => return other,
                }
            }
            Taken::Is(codec::join_array(&values))
        }
    }
}

/// Performs one call whose arguments are here or not.
fn run(
    target: &Target,
    arguments: &[(String, Taken<Vec<u8>>)],
    options: &CallOptions,
    map_index: Option<u64>,
) -> Rc<Run> {
    let id = desk::new_id();
    let plain = options.name.as_ref().unwrap_or(&target.task);
    let name = match map_index {
        Some(index) => format!("{plain}[{index}]"),
        None => plain.clone(),
    };
    let mut values = Vec::with_capacity(arguments.len());
    let mut end = None;
    let mut waits = false;
    for (parameter, argument) in arguments {
        match argument {
            Taken::Is(bytes) => values.push((parameter.clone(), bytes.clone())),
            Taken::Waits => waits = true,
            Taken::Blame(blamed, true) => {
                let message = format!("{blamed} was skipped");
                end.get_or_insert(End::of_host(StateType::Completed, "Skipped", message));
            }
            Taken::Blame(blamed, false) => {
                let message = format!("{blamed} gave no result");
                end = Some(End::of_host(StateType::Failed, "TriggerFailed", message));
            }
        }
    }
    if end.is_none() && !waits {
        end = desk::perform(target, &values, options, &id, map_index);
    }
    Rc::new(Run { id, name, map_index, end: RefCell::new(end) })
}

/// Calls a task.
pub(crate) fn submit(
    target: &Target,
    arguments: &[(String, Argument<'_>)],
    options: &CallOptions,
) -> TaskFuture {
    let arguments: Vec<_> =
        arguments.iter().map(|(name, argument)| (name.clone(), same(argument))).collect();
    TaskFuture(run(target, &arguments, options, None))
}

/// Calls a task for each element.
pub(crate) fn map(
    target: &Target,
    each: &[(String, Elements<'_>)],
    same_for_all: &[(String, Argument<'_>)],
    options: &CallOptions,
) -> FutureList {
    let name = options.name.as_ref().unwrap_or(&target.task);
    let fault = |kind: &str, message: String| {
        let end = End::of_host(StateType::Failed, kind, message);
        let error =
            RunError { run: desk::new_id(), name: name.clone(), state: end.state, failure: None };
        FutureList(Err(error))
    };
    let mut columns: Vec<(&str, Vec<Taken<Vec<u8>>>)> = Vec::with_capacity(each.len());
    for (parameter, elements) in each {
        let array = match elements {
            Elements::Values(bytes) => bytes.clone(),
            Elements::Results(list) => match &list.0 {
                Ok(runs) => {
                    columns.push((parameter, runs.iter().map(|run| taken(run)).collect()));
                    continue;
                }
                Err(error) => {
                    return fault("TriggerFailed", format!("{} came to no map", error.name));
                }
            },
            Elements::Result(future) => match taken(&future.0) {
                Taken::Is(bytes) => bytes,
                Taken::Blame(blamed, _) => {
                    return fault("TriggerFailed", format!("{blamed} gave no result"));
                }
                Taken::Waits => never(&future.0.name),
            },
        };
        let Some(items) = codec::split_array(&array) else {
            return fault("Refused", format!("`{parameter}` is mapped over what is no array"));
        };
        columns.push((parameter, items.into_iter().map(|item| Taken::Is(item.to_vec())).collect()));
    }
    let length = columns.first().map_or(0, |(_, values)| values.len());
    if let Some((parameter, other)) = columns.iter().find(|(_, values)| values.len() != length) {
        let message = format!(
            "the lists of a map are of different lengths: `{}` has {length} elements, `{parameter}` {}",
            columns[0].0,
            other.len()
        );
        return fault("Refused", message);
    }
    let mut columns: Vec<_> =
        columns.into_iter().map(|(name, values)| (name, values.into_iter())).collect();
    let runs = (0..length as u64).map(|index| {
        let mapped = columns
            .iter_mut()
            .filter_map(|(name, values)| Some(((*name).to_owned(), values.next()?)));
        let mut arguments: Vec<_> = mapped.collect();
        arguments.extend(same_for_all.iter().map(|(name, value)| (name.clone(), same(value))));
        run(target, &arguments, options, Some(index))
    });
    FutureList(Ok(runs.collect()))
}

/// Which of several runs have ended.
pub(crate) fn wait(futures: &[&TaskFuture], timeout: Option<u64>, until: ReturnWhen) -> Vec<bool> {
    let ended: Vec<bool> = futures.iter().map(|future| future.0.has_ended()).collect();
    let is_error = |future: &&TaskFuture| {
        future.0.end.borrow().as_ref().is_some_and(|end| end.value.is_none())
    };
    let all = ended.iter().all(|&has_ended| has_ended);
    let is_over = match until {
        ReturnWhen::All => all,
        ReturnWhen::First => all || ended.contains(&true),
        ReturnWhen::FirstError => all || futures.iter().any(is_error),
    };
    if !is_over && timeout.is_none() {
        let waiting = futures.iter().find(|future| !future.0.has_ended());
        never(waiting.map_or("nothing", |future| &future.0.name));
    }
    ended
}

/// Does nothing, at once: nothing goes on meanwhile.
pub(crate) fn sleep(_nanoseconds: u64) {}
