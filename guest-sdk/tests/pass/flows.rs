//! Everything a flow may say.

#![deny(warnings)]
#![forbid(unsafe_code)]

use std::time::Duration;

use sandmill_guest::flow::{
    Cache, DEFAULT, FutureList, Options, Retries, ReturnWhen, Task, TaskFuture, as_completed, each,
    sleep, wait,
};
use sandmill_guest::{Bytes, Failure, flow, task};

#[task]
fn nothing() {}

#[task]
fn count(text: String, #[default(1)] shortest: u32, note: Option<String>) -> Result<u64, Failure> {
    let _ = note;
    Ok(text.split(' ').filter(|word| word.len() >= shortest as usize).count() as u64)
}

#[task]
fn sum(numbers: Vec<u64>) -> std::io::Result<u64> {
    Ok(numbers.iter().sum())
}

#[task]
fn size(bytes: Bytes, r#type: String) -> usize {
    bytes.len() + r#type.len()
}

/// A result that no flow can read is no fault until one reads it.
#[task]
fn borrowed() -> &'static str {
    "text"
}

#[task]
fn flow_named() {}

mod inner {
    #[sandmill_guest::flow(name = "inner.flow")]
    pub(crate) fn part(list: Vec<String>) -> Result<u64, sandmill_guest::Failure> {
        let counts = super::count::map(super::each(&list), super::DEFAULT, None);
        Ok(super::sum::submit(&counts).result(None)?)
    }
}

#[flow]
fn no_result() {
    nothing::submit().wait(None);
}

#[flow]
fn whole(texts: Vec<String>, #[default(2)] shortest: u32) -> Result<u64, Failure> {
    // Values, by value and by reference; futures and lists of them.
    let one: TaskFuture<u64> = count::submit("a bc", DEFAULT, None);
    let two = count::submit(&texts[0], shortest, Some("note".to_owned()));
    let three = count::submit(texts[0].clone(), &shortest, None);
    let total = sum::submit([one.result(None)?, two.result(Duration::from_secs(1))?]);
    let size_of = size::submit(b"abc".as_slice(), "x");
    let part = inner::part::submit(&texts);

    // Maps, with options and without.
    let options = Options::new()
        .name("counted")
        .retries(3)
        .timeout(Duration::from_secs(30))
        .queue_timeout(Duration::from_secs(60))
        .memory(64 << 20)
        .cache(Cache::new().expires(Duration::from_secs(3600)).key("v1").refresh())
        .tags(["nightly"])
        .labels(["ssd", "eu"])
        .resource("gpu", 0.5)
        .detach();
    let patient = Retries::new(2).delays([Duration::from_secs(1)]).on(["timed-out"]);
    let counts: FutureList<u64> = count::with(options.clone()).map(each(&texts), 1, None);
    let again = count::map(each(["a b", "c"]), each(vec![1_u32, 2]), None);
    let third = count::with(Options::new().retries(patient)).map("a b c", each(1..3), None);
    let names = third.iter()?.map(|run| run.name()).collect::<Vec<_>>();
    assert_eq!(names, ["count[0]", "count[1]"]);
    let sums = sum::submit(&counts);
    let _ = each(&counts);

    // Several at once.
    let futures = [one.clone(), two.clone()];
    let waited = wait(&futures, None, ReturnWhen::FirstError);
    assert_eq!(waited.done.len(), 2);
    wait([three.untyped(), size_of.untyped()], Duration::from_millis(1), ReturnWhen::First);
    let mut seen = 0;
    for run in as_completed(&futures, None) {
        seen += run?.result(None)?;
    }
    for run in as_completed(&again, Duration::from_secs(1)) {
        let run = run?;
        seen += run.map_index().unwrap_or_default() + run.result(None)?;
    }
    total.on_done(|run| assert!(run.state().is_completed()));
    three.cancel();
    sleep(Duration::from_millis(5));

    // By name.
    let remote = Task::<u64>::of("texts", "count");
    let called = remote.arg("text", &texts[0]).arg("shortest", &one).submit();
    let mapped = remote.with(options).arg("shortest", 3).each("text", &texts).map();
    assert!(called.outcome().is_some() && mapped.len()? == texts.len() as u64);

    let results = part.result(None)? + sums.result(None)?;
    Ok(seen + results + counts.get(0)?.map_or(Ok(0), |run| run.result(None))?)
}

sandmill_guest::export!(
    nothing, count, sum, size, borrowed, flow_named, flow no_result, flow inner::part,
    flow self::whole
);

fn main() {
    use sandmill_guest::testing::{Stub, Tasks, with_tasks};

    let remote = Tasks::new().stub("texts", "count", |_| Stub::value(&7));
    let texts = vec!["to be or not".to_owned(), "a".to_owned()];
    assert!(with_tasks(remote, || whole(texts, 3)).is_ok());
    no_result();
}
