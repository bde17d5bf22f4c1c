//! Flow components and their journals: cut after any record, a flow that is taken up again is told
//! the same and does nothing twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::guest::{Guest, at, each, json_of, known, one, result, target, task, value};
use parking_lot::{Condvar, Mutex};
use sandmill_core::{
    CancelToken, Clock, Events, FlowArgument, FlowElements, FlowNext, FlowReturnWhen, FlowWatched,
    FutureKey, State,
};
use sandmill_flow::{Act, Done, FLOW_CHANGED, FlowHistory, Script, StageTarget};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};
use serde_json::{Value as Json, json};

/// A record of a journal in memory.
#[derive(Clone)]
enum Record {
    Step(u64, Vec<u8>),
    End(FutureKey, RunId, Outcome),
}

/// A journal in memory.
#[derive(Default)]
struct Tape {
    taken_up: bool,
    records: Mutex<Vec<Record>>,
}

impl Tape {
    fn cut(&self, length: usize) -> Arc<Self> {
        let records = self.records.lock()[..length].to_vec();
        Arc::new(Self { taken_up: true, records: Mutex::new(records) })
    }

    fn len(&self) -> usize {
        self.records.lock().len()
    }

    fn names(&self) -> Vec<String> {
        let records = self.records.lock();
        let names = records.iter().map(|record| match record {
            Record::Step(number, _) => format!("step {number}"),
            Record::End(key, _, outcome) => format!("{key:?} {}", outcome.name()),
        });
        names.collect()
    }

    fn ends(&self) -> BTreeMap<FutureKey, Outcome> {
        let records = self.records.lock();
        let ends = records.iter().filter_map(|record| match record {
            Record::End(key, _, outcome) => Some((*key, outcome.clone())),
            Record::Step(..) => None,
        });
        ends.collect()
    }
}

impl FlowHistory for Tape {
    fn is_taken_up(&self) -> bool {
        self.taken_up
    }

    fn step(&self, number: u64, body: Vec<u8>) {
        self.records.lock().push(Record::Step(number, body));
    }

    fn steps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, String> {
        let records = self.records.lock();
        let steps = records.iter().filter_map(|record| match record {
            Record::Step(number, body) if *number >= from => Some((*number, body.clone())),
            _ => None,
        });
        Ok(steps.take(limit).collect())
    }

    fn ended(&self, key: FutureKey) -> Result<Option<(RunId, Outcome)>, String> {
        let records = self.records.lock();
        Ok(records.iter().find_map(|record| match record {
            Record::End(of, run, outcome) if *of == key => Some((*run, outcome.clone())),
            _ => None,
        }))
    }

    fn sync(&self, _: &CancelToken) -> Result<(), String> {
        Ok(())
    }

    fn poll_room(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() = true;
        self.bell.notify_all();
    }
}

/// A runner as plain as can be: one call at a time comes to its end, when nothing else is to do.
struct Runner {
    script: Box<dyn Script>,
    tape: Arc<Tape>,
    flying: VecDeque<(FutureKey, Arc<str>, Value)>,
    /// What was called, rather than known.
    called: Vec<FutureKey>,
    window: usize,
}

impl Runner {
    fn new(guest: &Arc<Guest>, run: RunId, tape: &Arc<Tape>) -> Self {
        let events = Events::new(Clock::system());
        let history = Arc::clone(tape) as Arc<dyn FlowHistory>;
        let script = guest.flow().script(run, Some(history), &events);
        let (flying, called) = (VecDeque::new(), Vec::new());
        Self { script, tape: Arc::clone(tape), flying, called, window: 4 }
    }

    fn run(mut self) -> (Outcome, Vec<FutureKey>) {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let mut context = Context::from_waker(&waker);
        loop {
            *bell.rung.lock() = false;
            if let Poll::Ready(act) = self.script.poll_cancel(&mut context) {
                self.act(act);
                continue;
            }
            let is_room = self.flying.len() < self.window;
            match is_room.then(|| self.script.poll_act(&mut context)) {
                Some(Poll::Ready(Some(act))) => self.act(act),
                Some(Poll::Ready(None)) if self.flying.is_empty() => break,
                _ if self.end_one() => {}
                _ => {
                    let mut rung = bell.rung.lock();
                    let patience = Duration::from_secs(20);
                    if !*rung {
                        let timed_out = bell.bell.wait_for(&mut rung, patience).timed_out();
                        assert!(!timed_out, "nothing happens any more");
                    }
                }
            }
        }
        (self.script.conclusion(), self.called)
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Sized { .. } => {}
            Act::Run { stage, index, arguments } => {
                let key = FutureKey { command: stage, index };
                if let Some((_, outcome)) = self.tape.ended(key).unwrap() {
                    return self.tell(key, &outcome);
                }
                let StageTarget::Task { task, .. } = self.script.stage(stage).target else {
                    panic!("a sub-flow")
                };
                self.called.push(key);
                self.flying.push_back((key, task, arguments));
            }
            Act::End { stage, index, cause } => {
                let key = FutureKey { command: stage, index };
                if self.tape.ended(key).unwrap().is_none() {
                    let run = self.script.run_id(stage, index).unwrap();
                    self.tape.records.lock().push(Record::End(key, run, cause.outcome()));
                }
            }
            Act::Cancel { stage, index } => {
                let of_it = |key: &FutureKey| {
                    key.command == stage && (index.is_none() || key.index == index)
                };
                let cancelled: Vec<FutureKey> =
                    self.flying.iter().map(|(key, ..)| *key).filter(of_it).collect();
                for key in cancelled {
                    self.flying.retain(|(other, ..)| *other != key);
                    self.end(key, End::new(EndKind::Cancelled, "the run was cancelled").into());
                }
            }
        }
    }

    /// Ends the call that was made first, unless it only ends when it is cancelled.
    fn end_one(&mut self) -> bool {
        let Some(place) = self.flying.iter().position(|(_, task, _)| &**task != "slow") else {
            return false;
        };
        let (key, name, arguments) = self.flying.remove(place).unwrap();
        let outcome = task(&name, &arguments, || false);
        self.end(key, outcome);
        true
    }

    fn end(&mut self, key: FutureKey, outcome: Outcome) {
        let run = self.script.run_id(key.command, key.index).unwrap();
        assert!(self.tape.ended(key).unwrap().is_none(), "{key:?} was run twice");
        self.tape.records.lock().push(Record::End(key, run, outcome.clone()));
        self.tell(key, &outcome);
    }

    fn tell(&mut self, key: FutureKey, outcome: &Outcome) {
        let state = State::from_outcome(outcome, Clock::system().now());
        let run = self.script.run_id(key.command, key.index).unwrap();
        let done = Done { run, name: "", state: &state, outcome };
        self.script.on_outcome(key.command, key.index, &done);
    }
}

type Transcript = Arc<Mutex<Vec<Json>>>;

/// A flow that does a little of everything, and writes down what it is told.
fn everything(told: &Transcript) -> Arc<Guest> {
    let told = Arc::clone(told);
    Guest::new(move |_, calls| {
        told.lock().clear();
        let tell = |json: Json| told.lock().push(json);
        let single = calls.submit(target("double"), vec![known("n", &json!(21))])?;
        let numbers =
            calls.map(target("double"), vec![each("n", &json!([1, 2, 3, 4, 5, 6]))], vec![])?;
        let again = vec![("n".to_owned(), FlowElements::Results(numbers))];
        let doubled = calls.map(target("double"), again, vec![])?;
        let all = vec![("numbers".to_owned(), FlowArgument::Results(doubled))];
        let sum = calls.submit(target("sum"), all)?;
        let set = calls.watch()?;
        calls.add_watched(set, FlowWatched::All(numbers))?;
        calls.add_watched(set, FlowWatched::One(one(single)))?;
        let mut came = 0;
        while let FlowNext::Completed { key, source } = calls.next(set, None)? {
            came += 1;
            tell(json!([key.command, key.index, source]));
            tell(result(calls, key)?);
            calls.let_go(FlowWatched::One(key));
        }
        assert_eq!(came, 7);
        calls.unwatch(set);
        calls.let_go(FlowWatched::All(numbers));
        let bad = calls.submit(target("fail"), vec![])?;
        let upstream = vec![("n".to_owned(), FlowArgument::Result(one(bad)))];
        let blamed = calls.submit(target("double"), upstream)?;
        let keys = [one(bad), one(blamed), one(sum)];
        tell(json!(calls.wait(&keys, None, FlowReturnWhen::All)?));
        tell(result(calls, one(blamed))?);
        tell(json!(calls.state(one(bad))?.name));
        let slow = calls.map(target("slow"), vec![each("n", &json!([1, 2, 3, 4, 5]))], vec![])?;
        let brief = Some(Duration::from_millis(1));
        tell(json!(calls.wait(&[at(slow, 0)], brief, FlowReturnWhen::All)?));
        calls.cancel(FlowWatched::All(slow))?;
        for index in 0..calls.length(slow)?.expect("it is known") {
            tell(result(calls, at(slow, index))?);
        }
        calls.sleep(Duration::from_millis(2))?;
        let list = calls.submit(target("list"), vec![])?;
        let over = vec![("n".to_owned(), FlowElements::Result(one(list)))];
        let over = calls.map(target("double"), over, vec![])?;
        tell(json!(calls.length(over)?.expect("it is an array")));
        tell(result(calls, at(over, 2))?);
        let wrong = calls.submit(target("missing"), vec![])?;
        tell(result(calls, one(wrong))?);
        let uneven = vec![each("n", &json!([1])), each("m", &json!([1, 2]))];
        let uneven = calls.map(target("sum"), uneven, vec![])?;
        tell(json!(calls.length(uneven)?.expect_err("they are not equally long").state.name));
        // Let go of, so never done.
        let dropped = calls.submit(target("slow"), vec![])?;
        calls.let_go(FlowWatched::One(one(dropped)));
        let sum = result(calls, one(sum))?;
        tell(sum.clone());
        Ok(Outcome::Value(value(&sum)))
    })
}

#[test]
fn a_flow_that_is_cut_anywhere_is_told_the_same_and_does_nothing_twice() {
    let told = Transcript::default();
    let guest = everything(&told);
    let run = RunId::new();
    let tape = Arc::new(Tape::default());
    let (outcome, called) = Runner::new(&guest, run, &tape).run();
    assert_eq!(outcome.value().map(json_of), Some(json!(84)), "{outcome:?}");
    assert!(called.contains(&one(0)));
    let first = told.lock().clone();
    for length in 0..=tape.len() {
        let cut = tape.cut(length);
        let before = cut.ends();
        let steps =
            cut.records.lock().iter().filter(|record| matches!(record, Record::Step(..))).count();
        let (again, called) = Runner::new(&guest, run, &cut).run();
        assert_eq!(again, outcome, "cut at {length}");
        for key in called {
            assert!(!before.contains_key(&key), "{key:?} was called again, cut at {length}");
        }
        for (key, end) in before {
            assert_eq!(cut.ends()[&key], end, "cut at {length}");
        }
        // What was told before is told again: each answer is one step, or none.
        let second = told.lock().clone();
        let answered = first.len().min(steps.saturating_sub(14));
        assert_eq!(second[..answered.min(second.len())], first[..answered], "cut at {length}");
        assert_eq!(second.len(), first.len(), "cut at {length}");
        // And once it has ended, everything is in the journal.
        let whole = cut.cut(cut.len());
        let (last, called) = Runner::new(&guest, run, &whole).run();
        assert_eq!((last, called), (outcome.clone(), Vec::new()), "cut at {length}");
        assert_eq!(*told.lock(), second, "cut at {length}");
        assert_eq!(whole.names(), cut.names(), "cut at {length}: nothing is written twice");
    }
}

#[test]
fn a_flow_that_has_changed_fails_and_shows_both() {
    let run = RunId::new();
    let tape = Arc::new(Tape::default());
    let with = |n: i64, tasks: &'static str| {
        Guest::new(move |_, calls| {
            let first = calls.submit(target("double"), vec![known("n", &json!(1))])?;
            result(calls, one(first))?;
            let list: Vec<i64> = (0..n).collect();
            let map = calls.map(target(tasks), vec![each("n", &json!(list))], vec![])?;
            Ok(Outcome::Value(value(&result(calls, at(map, 0))?)))
        })
    };
    let (outcome, _) = Runner::new(&with(3, "double"), run, &tape).run();
    assert_eq!(outcome.value().map(json_of), Some(json!(0)));
    for (guest, now) in
        [(with(4, "double"), "a map of `double`"), (with(3, "list"), "a map of `list`")]
    {
        let (outcome, called) = Runner::new(&guest, run, &tape.cut(tape.len())).run();
        let Outcome::Failure(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!(failure.kind, FLOW_CHANGED);
        assert!(called.is_empty(), "{called:?}");
        let message = &failure.message;
        assert!(message.contains("step 2 was a map of `double`"), "{message}");
        assert!(message.contains(&format!("and now is {now}")), "{message}");
        assert!(
            message.contains("of 3 elements") || message.contains("3 elements of"),
            "{message}"
        );
        let details = json_of(&failure.details.expect("details"));
        assert_eq!(details["position"], 2);
    }
    // One that asks for something else than it did, rather than calls something else.
    let other = Guest::new(|_, calls| {
        let first = calls.submit(target("double"), vec![known("n", &json!(1))])?;
        calls.state(one(first))?;
        Ok(Outcome::Value(Value::nil()))
    });
    let (outcome, _) = Runner::new(&other, run, &tape.cut(tape.len())).run();
    assert!(matches!(outcome, Outcome::Failure(failure) if failure.kind == FLOW_CHANGED));
}

#[test]
fn a_sleep_is_slept_once() {
    let guest = Guest::new(|_, calls| {
        calls.sleep(Duration::from_millis(300))?;
        Ok(Outcome::Value(Value::nil()))
    });
    let (run, tape) = (RunId::new(), Arc::new(Tape::default()));
    let start = std::time::Instant::now();
    Runner::new(&guest, run, &tape).run();
    assert!(start.elapsed() >= Duration::from_millis(300));
    let start = std::time::Instant::now();
    Runner::new(&guest, run, &tape.cut(tape.len())).run();
    assert!(start.elapsed() < Duration::from_millis(300), "it was slept again");
}

#[test]
fn a_journal_that_is_damaged_or_has_a_hole_ends_the_flow_with_words() {
    let told = Transcript::default();
    let guest = everything(&told);
    let (run, tape) = (RunId::new(), Arc::new(Tape::default()));
    Runner::new(&guest, run, &tape).run();
    let spoil: [fn(&mut Vec<Record>); 2] = [
        |records| {
            if let Some(Record::Step(_, body)) =
                records.iter_mut().find(|record| matches!(record, Record::Step(3, _)))
            {
                body.truncate(1);
            }
        },
        |records| records.retain(|record| !matches!(record, Record::Step(3, _))),
    ];
    for spoil in spoil {
        let spoiled = tape.cut(tape.len());
        spoil(&mut spoiled.records.lock());
        let (outcome, _) = Runner::new(&guest, run, &spoiled).run();
        let Outcome::Ended(end) = outcome else { panic!("{outcome:?}") };
        assert_eq!(end.kind, EndKind::HostError);
        assert!(end.message.contains("step 3 of the flow is"), "{}", end.message);
    }
}
