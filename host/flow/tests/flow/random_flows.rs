//! Random flows, interrupted at random moments: taken up as often as it takes, they come to what
//! they come to undisturbed, and nothing that ended is called again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::support::history::History;
use crate::support::{Bench, ScriptedInvoker, failure, plan, value};
use parking_lot::Mutex;
use proptest::prelude::*;
use sandmill_flow::{FlowRunFuture, FlowStopper, Plan};
use sandmill_wire::{End, EndKind, Outcome};
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// One task of a random flow; the numbers say which of the tasks before it it takes.
#[derive(Debug, Clone)]
enum Shape {
    List(u8),
    Map { of: usize, fails: bool },
    Gather { of: usize, after: usize, lenient: bool },
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape = prop_oneof![
        (0u8..7).prop_map(Shape::List),
        (any::<usize>(), any::<bool>()).prop_map(|(of, fails)| Shape::Map { of, fails }),
        (any::<usize>(), any::<bool>()).prop_map(|(of, fails)| Shape::Map { of, fails }),
        (any::<usize>(), any::<usize>(), any::<bool>())
            .prop_map(|(of, after, lenient)| Shape::Gather { of, after, lenient }),
    ];
    proptest::collection::vec(shape, 1..7)
}

/// The flow file of some shapes: lists are mapped over, and what is mapped too.
fn text(shapes: &[Shape], result: bool) -> String {
    let mut text = String::from("tasks.t0 = { call = 't.list', arguments.of = [1, 2, 3] }\n");
    let mut lists = vec![0];
    for (number, shape) in (1..).zip(shapes) {
        let line = match shape {
            Shape::List(count) => {
                lists.push(number);
                let all: Vec<u8> = (0..*count).collect();
                format!("call = 't.list', arguments.of = {all:?}")
            }
            Shape::Map { of, fails } => {
                let of = lists[of % lists.len()];
                lists.push(number);
                let task = if *fails { "fail" } else { "work" };
                format!("call = 't.{task}', arguments.x = {{ map = 't{of}.result' }}")
            }
            Shape::Gather { of, after, lenient } => {
                let (of, after) = (lists[of % lists.len()], after % number);
                let errors = if *lenient { ", errors = 'skip'" } else { "" };
                let after =
                    if after == of { String::new() } else { format!(", after = ['t{after}']") };
                format!(
                    "call = 't.merge', arguments.all = {{ from = 't{of}.result'{errors} }}{after}"
                )
            }
        };
        text.push_str(&format!("tasks.t{number} = {{ {line} }}\n"));
    }
    if result {
        text.push_str(&format!("flow.result = 't{}.result'\n", shapes.len()));
    }
    text
}

#[derive(Default)]
struct Outside {
    ended: Mutex<BTreeMap<String, usize>>,
    /// Calls until the flow is interrupted.
    left: Mutex<Option<usize>>,
    flow: Mutex<Option<FlowStopper>>,
}

impl Outside {
    fn invoker(self: &Arc<Self>) -> Arc<ScriptedInvoker> {
        let outside = Arc::clone(self);
        ScriptedInvoker::new(move |attempt, arguments| {
            outside.count_down();
            if attempt.cancel.is_cancelled() {
                return End::new(EndKind::Cancelled, "stopped").into();
            }
            let x = arguments["x"].as_i64();
            let outcome = match &*attempt.call.task {
                "list" => value(arguments["of"].clone()),
                "work" => value(json!(x.unwrap_or(0) * 2 + 1)),
                "fail" if x.is_none_or(|x| x % 3 == 1) => failure("on purpose"),
                "fail" => value(json!(x.unwrap_or(0) + 1)),
                _ => value(arguments.clone()),
            };
            let name = attempt.call.run_name().to_string();
            *outside.ended.lock().entry(name).or_default() += 1;
            outcome
        })
    }

    fn count_down(&self) {
        let mut left = self.left.lock();
        match &mut *left {
            Some(0) => {
                *left = None;
                let stopper = loop {
                    if let Some(stopper) = self.flow.lock().clone() {
                        break stopper;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                };
                stopper.interrupt("by the test");
            }
            Some(count) => *count -= 1,
            None => {}
        }
    }
}

fn bench(outside: &Arc<Outside>, slots: usize) -> Bench {
    match slots {
        0 => Bench::inline(outside.invoker()),
        slots => Bench::pool(outside.invoker(), slots),
    }
}

/// What a flow came to, without the ids in it.
fn conclusion(future: &FlowRunFuture) -> (String, Vec<u8>) {
    match future.outcome() {
        Some(Outcome::Value(value)) => ("value".to_owned(), value.as_bytes().to_vec()),
        Some(Outcome::Failure(failure)) => (failure.kind, Vec::new()),
        other => (format!("{other:?}"), Vec::new()),
    }
}

fn states(history: &History, future: &FlowRunFuture) -> BTreeMap<(u32, Option<u64>), String> {
    let runs = history.reader().runs(future.id(), &Default::default()).unwrap();
    runs.iter().map(|run| ((run.key.stage, run.key.index), run.state.name.to_string())).collect()
}

fn interrupted(future: &FlowRunFuture) -> bool {
    let message = future.state().message.unwrap_or_default();
    message.starts_with("interrupted")
}

fn check(plan: &Arc<Plan>, slots: usize, interruptions: &[usize]) {
    let (calm, history) = (Arc::new(Outside::default()), History::new());
    let calm_bench = bench(&calm, slots);
    let expected = calm_bench.start_new(&history, Arc::clone(plan));
    expected.wait(PATIENCE);

    let outside = Arc::new(Outside::default());
    let mut flow = None;
    for left in interruptions.iter().map(|left| Some(*left)).chain([None]) {
        *outside.left.lock() = left;
        *outside.flow.lock() = None;
        let bench = bench(&outside, slots);
        let future = match flow {
            None => bench.start_new(&history, Arc::clone(plan)),
            Some(run) => bench.resume(&history, run, Arc::clone(plan)),
        };
        *outside.flow.lock() = Some(future.stopper());
        future.wait(PATIENCE);
        flow = Some(future.id());
        if !interrupted(&future) {
            assert_eq!(conclusion(&future), conclusion(&expected));
            assert_eq!(states(&history, &future), states(&history, &expected));
            assert_eq!(*outside.ended.lock(), *calm.ended.lock());
            assert_eq!(future.report().done(), expected.report().done());
            assert_eq!(future.report().failed_count(), expected.report().failed_count());
            return;
        }
    }
    panic!("the flow never ended");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_random_flow_comes_to_the_same_however_often_it_is_interrupted(
        shapes in shapes(),
        result in any::<bool>(),
        slots in 0_usize..4,
        interruptions in proptest::collection::vec(0_usize..25, 0..4),
    ) {
        check(&plan(&text(&shapes, result)), slots, &interruptions);
    }
}
