//! What unit tests of an author see: tasks as functions, and the host's stand-in around them.

use std::time::Duration;

use sandmill_guest::log::Level;
use sandmill_guest::testing::{self, Context};
use sandmill_guest::{Bytes, Failure, context, log, task};

#[task]
fn report(steps: u64) -> Result<String, Failure> {
    for step in 0..steps {
        if context::is_cancelled() {
            return Err(Failure::new("cancelled", "stopped on request"));
        }
        context::report_progress(step + 1, Some(steps), "step");
    }
    log::debug!("map index {:?}", context::map_index());
    log::error!("done");
    Ok(format!("{} {} {:?}", context::run_id(), context::attempt(), context::deadline()))
}

#[test]
fn a_test_sets_the_context_and_reads_what_the_task_said() {
    let context = Context {
        run_id: "id".to_owned(),
        attempt: 3,
        map_index: Some(9),
        deadline: Some(Duration::from_millis(1500)),
        is_cancelled: false,
    };
    let seen = testing::with(context, || report(2));
    assert_eq!(seen.result.expect("not cancelled"), "id 3 Some(1.5s)");
    let lines: Vec<_> = seen.log.iter().map(|line| (line.level, line.message.as_str())).collect();
    assert_eq!(lines, [(Level::Debug, "map index Some(9)"), (Level::Error, "done")]);
    let progress: Vec<_> = seen.progress.iter().map(|report| (report.done, report.total)).collect();
    assert_eq!(progress, [(1, Some(2)), (2, Some(2))]);
}

#[test]
fn cancelling_can_be_tested() {
    let cancelled = Context { is_cancelled: true, ..Context::default() };
    let failure = testing::with(cancelled, || report(1)).result.expect_err("cancelled");
    assert_eq!(failure.kind(), "cancelled");
}

#[test]
fn stages_nest_and_come_down_after_a_panic() {
    let outer = testing::with(Context { attempt: 2, ..Context::default() }, || {
        let inner = std::panic::catch_unwind(|| {
            testing::with(Context { attempt: 7, ..Context::default() }, || panic!("on purpose"))
        });
        assert!(inner.is_err());
        log::info!("outer");
        context::attempt()
    });
    assert_eq!(outer.result, 2);
    assert_eq!(outer.log.len(), 1);
    assert_eq!(context::attempt(), 1);
}

#[test]
fn failures_tell_their_causes_once() {
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("bad header")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    let cause = "x".parse::<u32>().expect_err("no number");
    let failure = Failure::from(Outer(cause));
    assert_eq!(failure.to_string(), "error: bad header: invalid digit found in string");
    assert!(format!("{failure:?}").contains("retriable: false"));
}

#[test]
fn kinds_are_bent_to_the_contract() {
    let kind = |kind: &str| Failure::new(kind, "").kind().to_owned();
    assert_eq!(kind("not-found"), "not-found");
    assert_eq!(kind("Not Found!"), "not-found-");
    assert_eq!(kind("_é-"), "error");
    assert_eq!(kind(""), "error");
    assert_eq!(kind(&"x".repeat(200)).len(), 128);
}

#[test]
fn details_that_cannot_travel_leave_a_word() {
    let failure = Failure::new("big", "too much").with_details(&u128::MAX);
    assert!(failure.details::<u64>().is_none());
    assert!(failure.message().starts_with("too much (details left out: the integer 340"));
}

#[test]
fn bytes_behave_like_a_slice() {
    let mut bytes = Bytes::from(&b"abc"[..]);
    bytes[0] = b'x';
    assert_eq!(&*bytes, b"xbc");
    assert_eq!(Bytes::from("xbc"), bytes);
    assert_eq!(Vec::from(bytes.clone()), bytes.into_vec());
    assert_eq!(format!("{:?}", Bytes::from("é\n")), r#"Bytes(3 bytes: b"\xc3\xa9\n")"#);
    assert!(format!("{:?}", Bytes::from(vec![0; 17])).ends_with("…)"));
}
