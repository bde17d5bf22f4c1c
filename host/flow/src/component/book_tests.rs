//! Tests of what a flow component's results take in memory, and of who keeps what.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use sandmill_core::{CallOptions, CancelToken, Component, FlowArgument, FlowElements, FlowWatched};
use sandmill_wire::{End, EndKind};

use super::super::results::{
    MAX_HELD_RESULT_BYTES, MAX_UNJOURNALED_RESULT_BYTES, RESULTS_TOO_LARGE,
};
use super::*;
use crate::script::StageTarget;

/// Remembers how runs ended.
#[derive(Default)]
struct Ends(Mutex<HashMap<FutureKey, Outcome>>);

impl FlowHistory for Ends {
    fn is_taken_up(&self) -> bool {
        false
    }

    fn step(&self, _: u64, _: Vec<u8>) {}

    fn steps(&self, _: u64, _: usize) -> Result<Vec<(u64, Vec<u8>)>, String> {
        Ok(Vec::new())
    }

    fn ended(&self, key: FutureKey) -> Result<Option<(RunId, Outcome)>, String> {
        Ok(self.0.lock().get(&key).map(|outcome| (RunId::new(), outcome.clone())))
    }

    fn sync(&self, _: &CancelToken) -> Result<(), String> {
        Ok(())
    }

    fn poll_room(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

fn spec(mapped: bool, detach: bool) -> StageSpec {
    let component = Component::new(&b"c"[..], "c.wasm");
    let target = StageTarget::Task { component, task: "t".into() };
    let options = Arc::new(CallOptions { detach, ..CallOptions::default() });
    StageSpec { name: "t".into(), target, options, mapped }
}

fn numbers(count: usize) -> Given {
    let list: Vec<usize> = (0..count).collect();
    let value = Value::encode(&list).expect("an array");
    Given { each: vec![("n".to_owned(), FlowElements::Values(value))], same: Vec::new() }
}

fn of_results(command: u32) -> Given {
    let each = vec![("n".to_owned(), FlowElements::Results(command))];
    Given { each, same: Vec::new() }
}

fn of_result(command: u32) -> Given {
    let key = FutureKey { command, index: None };
    let same = vec![("n".to_owned(), FlowArgument::Result(key))];
    Given { each: Vec::new(), same }
}

fn book(history: Option<Arc<dyn FlowHistory>>) -> Book {
    Book::new(RunId::new(), Clock::system(), history)
}

const fn at(command: u32, index: u64) -> FutureKey {
    FutureKey { command, index: Some(index) }
}

const fn one(command: u32) -> FutureKey {
    FutureKey { command, index: None }
}

fn runs(book: &mut Book) -> Vec<FutureKey> {
    let mut runs = Vec::new();
    while let Some(act) = book.next_act() {
        if let Act::Run { stage, index, .. } = act {
            runs.push(FutureKey { command: stage, index });
        }
    }
    runs
}

#[test]
fn results_beyond_a_bound_are_read_back() {
    const COUNT: u64 = 100_000;
    let large = Value::encode(&"x".repeat(1 << 10)).unwrap();
    let ends = Arc::new(Ends::default());
    let mut book = book(Some(Arc::clone(&ends) as Arc<dyn FlowHistory>));
    let map = book.add(spec(true, false), numbers(COUNT as usize), None).unwrap();
    let mut most = 0;
    for position in 0..COUNT {
        while !matches!(book.next_act(), Some(Act::Run { .. })) {}
        let outcome = Outcome::Value(large.clone());
        ends.0.lock().insert(at(map, position), outcome.clone());
        book.end(at(map, position), outcome, None);
        most = most.max(book.held_bytes);
    }
    assert!(most > MAX_HELD_RESULT_BYTES / 2 && most <= MAX_HELD_RESULT_BYTES, "{most}");
    assert!(book.verdict.is_none());
    for position in [0, COUNT / 2, COUNT - 1] {
        assert_eq!(book.outcome(at(map, position)), Ok(Outcome::Value(large.clone())));
    }
    // What was told is not kept, and what nobody can ask for is forgotten.
    (0..COUNT).for_each(|position| book.was_told(at(map, position)));
    assert!(runs(&mut book).is_empty());
    assert_eq!(book.held_bytes, 0);
    assert_eq!((book.given_bytes, book.open_commands), (0, 0));
    book.let_go(FlowWatched::All(map));
    assert!(runs(&mut book).is_empty() && book.commands.is_empty());
}

#[test]
fn without_a_journal_too_many_results_fail_the_flow() {
    let mut book = book(None);
    let map = book.add(spec(true, false), numbers(80), None).unwrap();
    assert_eq!(runs(&mut book).len(), 80);
    let large = Value::encode(&"x".repeat(15 << 20)).unwrap();
    for position in 0..80 {
        book.end(at(map, position), Outcome::Value(large.clone()), None);
    }
    let Some(Outcome::Failure(failure)) = &book.verdict else { panic!("{:?}", book.verdict) };
    assert_eq!(failure.kind, RESULTS_TOO_LARGE);
    assert!(book.held_bytes <= MAX_UNJOURNALED_RESULT_BYTES);
}

#[test]
fn runs_that_nobody_can_ask_for_are_cancelled_unless_they_are_detached() {
    let mut book = book(None);
    let single = book.add(spec(false, false), Given::default(), None).unwrap();
    let map = book.add(spec(true, false), numbers(3), None).unwrap();
    let detached = book.add(spec(true, true), numbers(2), None).unwrap();
    assert_eq!(runs(&mut book).len(), 6);
    book.hold(FlowWatched::One(at(map, 1)));
    for what in [FlowWatched::One(one(single)), FlowWatched::All(map), FlowWatched::All(detached)] {
        book.let_go(what);
    }
    let mut cancels: Vec<_> = book.cancels.drain(..).collect();
    cancels.sort_unstable();
    assert_eq!(cancels, [(single, None), (map, Some(0)), (map, Some(2))]);
    book.let_go(FlowWatched::One(at(map, 1)));
    assert_eq!(book.cancels.drain(..).collect::<Vec<_>>(), [(map, Some(1))]);
    let cancelled = || Outcome::from(End::new(EndKind::Cancelled, "c"));
    book.end(one(single), cancelled(), None);
    (0..3).for_each(|position| book.end(at(map, position), cancelled(), None));
    (0..2).for_each(|position| book.end(at(detached, position), cancelled(), None));
    assert!(book.commands.is_empty() && book.held_bytes == 0);
}

#[test]
fn a_run_is_wanted_while_another_takes_its_result() {
    let mut book = book(None);
    let first = book.add(spec(false, false), Given::default(), None).unwrap();
    let second = book.add(spec(false, false), of_result(first), None).unwrap();
    book.let_go(FlowWatched::One(one(first)));
    assert_eq!(runs(&mut book), [one(first)]);
    assert!(book.cancels.is_empty(), "the second takes it");
    // Now nobody asks for the second, which cannot have been called.
    book.let_go(FlowWatched::One(one(second)));
    assert!(runs(&mut book).is_empty());
    assert_eq!(book.cancels.drain(..).collect::<Vec<_>>(), [(first, None)]);
    assert_eq!(book.outcome(one(second)).ok(), None);
}

#[test]
fn what_is_deepest_goes_first_and_as_soon_as_it_can() {
    let mut book = book(None);
    let map = book.add(spec(true, false), numbers(4), None).unwrap();
    let next = book.add(spec(true, false), of_results(map), None).unwrap();
    let mut order = Vec::new();
    while let Some(act) = book.next_act() {
        if let Act::Run { stage, index, .. } = act {
            let key = FutureKey { command: stage, index };
            order.push(key);
            book.end(key, Outcome::Value(Value::nil()), None);
        }
    }
    let expected: Vec<_> = (0..4).flat_map(|index| [at(map, index), at(next, index)]).collect();
    assert_eq!(order, expected);
}

#[test]
fn a_long_chain_of_commands_fails_and_is_let_go_of_without_deep_recursion() {
    const LENGTH: u32 = 50_000;
    for fails in [true, false] {
        let mut book = book(None);
        book.add(spec(false, false), Given::default(), None).unwrap();
        for number in 1..LENGTH {
            book.add(spec(false, false), of_result(number - 1), None).unwrap();
        }
        assert_eq!(runs(&mut book).len(), 1);
        if fails {
            book.end(one(0), End::new(EndKind::TimedOut, "late").into(), None);
            assert!(runs(&mut book).is_empty());
            let last = book.outcome(one(LENGTH - 1)).unwrap();
            assert!(matches!(last, Outcome::Ended(end) if end.kind == EndKind::UpstreamFailed));
        } else {
            book.let_all_go();
            assert!(runs(&mut book).is_empty());
            assert_eq!(book.cancels.drain(..).collect::<Vec<_>>(), [(0, None)]);
            book.end(one(0), End::new(EndKind::Cancelled, "c").into(), None);
        }
        assert_eq!(book.open_commands, 0);
        book.let_all_go();
        assert!(runs(&mut book).is_empty() && book.commands.is_empty());
    }
}
