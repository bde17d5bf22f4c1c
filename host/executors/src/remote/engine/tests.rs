//! What the carrier's state does with runs that workers say little of.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{
    Attempt, Call, CallOptions, CancelToken, Component, ComponentInfo, Events, Invoker, Progress,
    Report,
};
use sandmill_transport::engine::EngineConfig;
use sandmill_transport::message::{FromWorker, HandBack, Note, Noted, RunLease, WorkerId};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};
use uuid::Uuid;

use super::super::ends::Ends;
use super::super::ticket::{Answer, Ticket};
use super::carrier::Carrier;
use super::config::EngineFleetConfig;
use crate::pool::Queue;

struct Nothing;

impl Invoker for Nothing {
    fn invoke(&self, _: Attempt<'_>) -> Report {
        Report::unstarted(End::new(EndKind::HostError, "nothing is made here"))
    }

    fn prepare(&self, _: &Component) -> Result<Arc<ComponentInfo>, End> {
        Err(End::new(EndKind::HostError, "nothing is made here"))
    }

    fn max_memory(&self) -> u64 {
        u64::MAX
    }
}

/// A carrier with a run that a worker has, and that is not known to have started.
struct Bench {
    carrier: Carrier,
    worker: WorkerId,
    run: RunId,
    cancel: CancelToken,
    answer: Arc<Answer>,
}

impl Bench {
    fn new(options: CallOptions) -> Self {
        let invoker = Arc::new(Nothing) as Arc<dyn Invoker>;
        let queue = Arc::new(Queue::new(1, 1, 1, Events::default()));
        let (ends, _) = Ends::spawn(&queue, &invoker).unwrap();
        let answer = Arc::new(Answer::default());
        let (run, cancel) = (RunId::new(), CancelToken::new());
        let component = Component::new(&b"component"[..], "memory");
        let arguments = Value::encode(&HashMap::<String, u64>::new()).unwrap();
        let call = Call::new(&component, "t", arguments).with_options(options);
        let attempt =
            Attempt { run, number: 1, call: &call, cancel: &cancel, events: &Events::default() };
        let engine = EngineConfig::new("nats://127.0.0.1:1").unwrap();
        let config = EngineFleetConfig::new(engine);
        let mut carrier = Carrier::new(Arc::new(config), Uuid::now_v7());
        carrier.take(Ticket::of_attempt(&attempt, &answer, &ends));
        let mut bench = Self { carrier, worker: WorkerId::new(), run, cancel, answer };
        bench.order();
        bench
    }

    /// The run goes to the worker.
    fn order(&mut self) {
        assert_eq!(self.carrier.fill(0).len(), 1);
        let progress = Progress { done: 1, total: None, message: String::new() };
        self.note(Note::Progress(progress));
    }

    fn of(&self) -> RunLease {
        self.carrier.runs.get(&self.run).unwrap().of()
    }

    fn note(&mut self, note: Note) {
        let noted = Noted { of: self.of(), at: Default::default(), note };
        self.carrier.said(self.worker, FromWorker::Notes(vec![noted]), &mut Vec::new());
    }

    fn back(&mut self, why: Option<&str>) {
        let back = HandBack { of: self.of(), why: why.map(str::to_owned) };
        self.carrier.said(self.worker, FromWorker::HandBack(vec![back]), &mut Vec::new());
    }

    /// What the worker is asked: to stop runs, and to give runs back.
    fn asked(&mut self) -> (usize, usize) {
        let host = self.carrier.hosts.get_mut(&self.worker).unwrap();
        let asked = (host.cancelled.len(), host.recalled.len());
        host.cancelled.clear();
        host.recalled.clear();
        asked
    }

    fn end(&self) -> EndKind {
        match self.answer.wait().outcome {
            Outcome::Ended(end) => end.kind,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_run_that_was_not_started_in_its_time_is_asked_back_unless_it_was() {
    let patience = Some(Duration::from_millis(1));
    let options = CallOptions { queue_timeout: patience, ..CallOptions::default() };
    let mut bench = Bench::new(options.clone());
    let later = || Instant::now() + Duration::from_millis(10);
    bench.carrier.expire(later());
    assert_eq!(bench.asked(), (0, 1));
    bench.back(None);
    assert_eq!(bench.end(), EndKind::TimedOut);

    let mut bench = Bench::new(options);
    bench.carrier.expire(later());
    assert_eq!(bench.asked(), (0, 1));
    bench.note(Note::Started);
    let entry = bench.carrier.runs.get_mut(&bench.run).expect("it goes on");
    assert!(!entry.expired && entry.stopping.is_none());
    // It waits again, with all of its patience.
    let now = Instant::now();
    bench.carrier.runs.wait_again(&bench.run, Duration::ZERO);
    let expiry = bench.carrier.runs.next_expiry();
    assert!(expiry.is_some_and(|expiry| expiry >= now + Duration::from_millis(1)));
}

#[test]
fn a_run_that_is_to_stop_is_not_waited_for_for_ever() {
    let mut bench = Bench::new(CallOptions::default());
    bench.note(Note::Started);
    bench.cancel.cancel();
    bench.carrier.cancel(&bench.run);
    assert_eq!(bench.asked(), (1, 0));
    bench.carrier.end_stopping();
    let lease = bench.carrier.config.lease;
    let entry = bench.carrier.runs.get_mut(&bench.run).expect("it is waited for");
    entry.stopping = entry.stopping.and_then(|since| since.checked_sub(lease));
    bench.carrier.end_stopping();
    assert_eq!(bench.end(), EndKind::Cancelled);
}

#[test]
fn a_run_that_no_worker_takes_ends() {
    let mut bench = Bench::new(CallOptions::default());
    let mut times = 1;
    loop {
        bench.back(Some("it is odd"));
        if bench.carrier.runs.get(&bench.run).is_none() {
            break;
        }
        assert!(times < 1_000, "it is tried for ever");
        times += 1;
        bench.carrier.runs.resume(Instant::now() + Duration::from_secs(60));
        bench.order();
    }
    assert_eq!((bench.end(), times), (EndKind::Refused, 20));
}
