//! A host on one of the executors, with a record of all that happens there.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use sandmill::core::{AttemptEnd, LogLine, Progress, Usage};
use sandmill::{
    Call, CallOptions, Component, EndKind, Host, MapOptions, Outcome, State, StateType, TaskFuture,
    Value,
};

use crate::cache::{self, cache_directory};
use crate::executors::{EXECUTORS, ExecutorUnderTest};
use crate::fleets::Others;
use crate::record::Record;

/// Longer than anything takes that works: what is not there by then has hung.
pub const LONG: Duration = Duration::from_secs(120);

/// Calls between two looks at their results when many are made.
const WINDOW: usize = 64;

/// A host on one executor, and what was told of its runs.
pub struct Bench {
    /// The executor.
    pub executor: &'static ExecutorUnderTest,
    /// The host.
    pub host: Host,
    record: Arc<Record>,
    /// After the host, so that they go after it.
    _others: Others,
}

/// How a run ended, and all that was told of it.
#[derive(Debug)]
pub struct Ran {
    /// The handle on it.
    pub future: TaskFuture,
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// The names of the states it went through, each once in a row: a run that waits for a host is
    /// told as pending again, with why, where it waits for long.
    pub states: Vec<String>,
    /// Its log.
    pub lines: Vec<LogLine>,
    /// Its reports of progress.
    pub progress: Vec<Progress>,
    /// How its attempts ended.
    pub attempts: Vec<AttemptEnd>,
    /// The states it went through.
    pub history: Vec<State>,
}

impl Bench {
    /// The bench that all cases of an executor share: what one run does to its host, the others
    /// would feel. It is opened when the first of them asks.
    ///
    /// # Panics
    /// When the host cannot be opened.
    #[must_use]
    pub fn shared(executor: &'static ExecutorUnderTest) -> &'static Self {
        static BENCHES: [OnceLock<Bench>; EXECUTORS.len()] =
            [const { OnceLock::new() }; EXECUTORS.len()];
        let place = EXECUTORS.iter().position(|known| known.name == executor.name);
        let bench = &BENCHES[place.expect("the executor is one of those in the table")];
        bench.get_or_init(|| Self::fresh(executor, 2))
    }

    /// A bench for one case alone.
    ///
    /// # Panics
    /// When the host cannot be opened.
    #[must_use]
    pub fn fresh(executor: &'static ExecutorUnderTest, slots: usize) -> Self {
        let record = Arc::new(Record::default());
        let (builder, others) = (executor.choose)(Host::builder(), slots);
        let host = builder
            .cache_dir(cache_directory())
            .observer(Arc::clone(&record) as Arc<dyn sandmill::Observer>)
            .build()
            .unwrap_or_else(|error| panic!("{}: {error}", executor.name));
        Self { executor, host, record, _others: others }
    }

    /// So many runs where they are made in this process; over links, a tenth of them shows the
    /// same.
    #[must_use]
    pub const fn many(&self, here: u64) -> u64 {
        if self.executor.in_this_process { here } else { here / 10 }
    }

    /// A guest's component.
    ///
    /// # Panics
    /// When it cannot be built, read or compiled.
    #[must_use]
    pub fn guest(&self, name: &str) -> Component {
        cache::guest(name)
    }

    /// A call of a guest's task, with arguments in JSON.
    ///
    /// # Panics
    /// When `arguments` is not JSON.
    #[must_use]
    pub fn call(&self, guest: &str, task: &str, arguments: &str) -> Call {
        Call::new(&self.guest(guest), task, json(arguments))
    }

    /// Runs a task with the default options.
    pub fn run(&self, guest: &str, task: &str, arguments: &str) -> Ran {
        self.run_call(self.call(guest, task, arguments))
    }

    /// Runs a task with other options.
    pub fn run_with(
        &self,
        guest: &str,
        task: &str,
        arguments: &str,
        change: impl FnOnce(&mut CallOptions),
    ) -> Ran {
        let mut options = CallOptions::default();
        change(&mut options);
        self.run_call(self.call(guest, task, arguments).with_options(options))
    }

    /// Runs a call.
    pub fn run_call(&self, call: Call) -> Ran {
        self.ran(self.host.submit(call))
    }

    /// Blocks until a run of this name has started, whoever holds its future.
    ///
    /// # Panics
    /// When it does not start.
    pub fn wait_for_start(&self, name: &str) {
        self.wait_for(name, |state| state.kind == StateType::Running);
    }

    /// Blocks until a run of this name has come to such a state, whoever holds its future.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn wait_for(&self, name: &str, is: impl Fn(&State) -> bool) {
        let start = Instant::now();
        while !self.record.has_been(name, &is) {
            let been = || self.record.states_of(name);
            assert!(
                start.elapsed() < LONG,
                "`{name}` does not get to where it should: {:?}",
                been()
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for a run, and takes what was told of it.
    ///
    /// # Panics
    /// When the run does not end.
    pub fn ran(&self, future: TaskFuture) -> Ran {
        let state = future.wait(Some(LONG));
        assert!(state.is_final(), "{future:?} has not ended");
        let told = self.record.take(future.id());
        Ran {
            outcome: future.outcome().expect("it has ended"),
            usage: future.usage().expect("it has ended"),
            states: names_of(&told.states),
            lines: told.lines,
            progress: told.progress,
            attempts: told.attempts,
            history: told.states,
            future,
        }
    }

    /// Makes many runs that have to succeed, and looks at the answer of each.
    ///
    /// # Panics
    /// When one of them does not.
    pub fn good_runs(&self, count: i64) {
        let component = self.guest("probe");
        let calls = (0..count).map(move |number| {
            let arguments = sandmill::args! { "left" => number, "right" => 1 };
            Call::new(&component, "add", arguments.expect("two numbers are arguments"))
        });
        let options = MapOptions { window: Some(WINDOW), ..MapOptions::default() };
        let mut next = 1;
        for future in self.host.map(calls, options).into_ordered() {
            let ran = self.ran(future);
            assert_eq!(ran.value::<i64>(), next);
            next += 1;
        }
        assert_eq!(next, count + 1, "every call was made");
    }
}

impl Ran {
    /// The value, as a `T`.
    ///
    /// # Panics
    /// When there is none.
    pub fn value<T: serde::de::DeserializeOwned>(&self) -> T {
        match &self.outcome {
            Outcome::Value(value) => value.decode().expect("the value is of the type expected"),
            other => panic!("{} gave no value: {other:?}", self.future.name()),
        }
    }

    /// The value in its JSON form.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match &self.outcome {
            Outcome::Value(value) => {
                serde_json::from_str(&value.to_json_string()).expect("it is JSON")
            }
            other => panic!("{} gave no value: {other:?}", self.future.name()),
        }
    }

    /// The value's bytes.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match &self.outcome {
            Outcome::Value(value) => value.as_bytes().to_vec(),
            other => panic!("{} gave no value: {other:?}", self.future.name()),
        }
    }

    /// The failure's kind and message.
    ///
    /// # Panics
    /// When the run ended in another way.
    #[must_use]
    pub fn failure(&self) -> (&str, &str) {
        match &self.outcome {
            Outcome::Failure(failure) => (&failure.kind, &failure.message),
            other => panic!("{} did not fail: {other:?}", self.future.name()),
        }
    }

    /// The end's kind and message.
    ///
    /// # Panics
    /// When the run ended in another way.
    #[must_use]
    pub fn end(&self) -> (EndKind, &str) {
        match &self.outcome {
            Outcome::Ended(end) => (end.kind, &end.message),
            other => panic!("{} was not ended: {other:?}", self.future.name()),
        }
    }
}

/// A value from its JSON form.
fn json(text: &str) -> Value {
    Value::from_json_str(text).unwrap_or_else(|error| panic!("{text} is not a value: {error}"))
}

fn names_of(states: &[State]) -> Vec<String> {
    let mut names: Vec<String> = states.iter().map(|state| state.name.to_string()).collect();
    names.dedup();
    names
}
