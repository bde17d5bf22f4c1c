//! The schedule by itself: random graphs, and what has to hold of every one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::support::plan;
use proptest::prelude::*;
use sandmill_flow::{Blame, Cause, Conclusion, Ended, NodeId, Plan, Schedule, Step};
use sandmill_wire::{RunId, Value};

/// One task of a random flow: what it takes of earlier tasks.
#[derive(Debug, Clone)]
struct Task {
    /// An earlier task, and how: whole, mapped, or merely before this one.
    edges: Vec<(usize, u8)>,
    /// Maps over a list of this many, too.
    known: Option<usize>,
    shortest: bool,
}

fn tasks() -> impl Strategy<Value = Vec<Task>> {
    let task = (
        prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4), 0..4),
        prop::option::weighted(0.4, 0_usize..5),
        any::<bool>(),
    );
    prop::collection::vec(task, 1..9).prop_map(|tasks| {
        let make = |(position, (edges, known, shortest)): (
            usize,
            (Vec<(prop::sample::Index, u8)>, _, _),
        )| {
            let edges = if position == 0 { Vec::new() } else { edges };
            let edges =
                edges.into_iter().map(|(index, how)| (index.index(position), how)).collect();
            Task { edges, known, shortest }
        };
        tasks.into_iter().enumerate().map(make).collect()
    })
}

/// The text of a flow of these tasks. A task that is not mapped gives a list, so all can be
/// mapped over.
fn text(tasks: &[Task]) -> String {
    let mut text = String::new();
    for (position, task) in tasks.iter().enumerate() {
        text.push_str(&format!("[tasks.t{position}]\ncall = 't.list'\n"));
        let mut after = Vec::new();
        let mut maps = 0;
        for (argument, (other, how)) in task.edges.iter().enumerate() {
            match how {
                0 => after.push(format!("'t{other}'")),
                1 => text
                    .push_str(&format!("arguments.a{argument} = {{ from = 't{other}.result' }}\n")),
                _ => {
                    maps += 1;
                    text.push_str(&format!(
                        "arguments.a{argument} = {{ map = 't{other}.result' }}\n"
                    ));
                }
            }
        }
        if let Some(known) = task.known {
            maps += 1;
            text.push_str(&format!("arguments.known = {{ map = {:?} }}\n", vec![7; known]));
        }
        if maps > 1 && task.shortest {
            text.push_str("zip = 'shortest'\n");
        }
        text.push_str(&format!("after = [{}]\n", after.join(",")));
    }
    text
}

type Key = (NodeId, Option<u64>);

/// Runs a schedule to its end, ending calls in the order that `choices` says, failing those that
/// `fails` says. Checks on the way what has to hold at every step.
fn drive(plan: &Arc<Plan>, choices: &[prop::sample::Index], fails: u64, window: usize) -> Schedule {
    let mut schedule = Schedule::new(Arc::clone(plan));
    let mut flying: Vec<Key> = Vec::new();
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    let mut completed: BTreeSet<Key> = BTreeSet::new();
    let mut failed: BTreeSet<Key> = BTreeSet::new();
    let mut sizes: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut choice = choices.iter().cycle();
    let depends: Vec<Vec<NodeId>> = plan
        .nodes()
        .iter()
        .map(|node| {
            let names: Vec<_> = plan.depends_on(node).collect();
            (0..plan.nodes().len()).filter(|id| names.contains(&plan.nodes()[*id].name())).collect()
        })
        .collect();
    loop {
        while flying.len() < window {
            match schedule.next_step() {
                None => break,
                Some(Step::Cancel { .. }) => panic!("nothing stops here"),
                Some(Step::Mapped { node, total }) => {
                    assert!(sizes.insert(node, total).is_none(), "{node} was sized twice");
                }
                Some(Step::End { node, index, cause }) => {
                    // Only what depends on a failure is poisoned by it.
                    let cut = |other: &NodeId| {
                        failed.iter().any(|(id, at)| {
                            id == other && (at.is_none() || index.is_none() || *at == index)
                        })
                    };
                    assert!(
                        matches!(cause, Cause::Inputs(_)) || depends[node].iter().any(cut),
                        "{node} {index:?} ended for {cause:?}"
                    );
                    assert!(seen.insert((node, index)), "{node} {index:?} came twice");
                    failed.insert((node, index));
                }
                Some(Step::Run { node, index, .. }) => {
                    assert!(seen.insert((node, index)), "{node} {index:?} came twice");
                    for other in &depends[node] {
                        // Not before its inputs: the whole of another task, or its piece of it.
                        let whole = match (plan.nodes()[*other].is_mapped(), sizes.get(other)) {
                            (false, _) => completed.contains(&(*other, None)),
                            (true, Some(total)) => {
                                (0..*total).all(|i| completed.contains(&(*other, Some(i))))
                            }
                            (true, None) => false,
                        };
                        let piece = index.is_some() && completed.contains(&(*other, index));
                        assert!(whole || piece, "{node} {index:?} came before {other}");
                    }
                    flying.push((node, index));
                }
            }
        }
        assert!(schedule.queued() <= plan.nodes().len() * (window + 8), "the ready list grew");
        if flying.is_empty() {
            break;
        }
        let key = flying.swap_remove(choice.next().map_or(0, |choice| choice.index(flying.len())));
        let bad = fails >> ((key.0 as u64 * 7 + key.1.unwrap_or(0)) % 64) & 1 == 1;
        let ended = if bad {
            failed.insert(key);
            Ended::Failed(Blame::unstarted("x", "Failed", "on purpose"))
        } else {
            completed.insert(key);
            Ended::Value(Value::encode(&[1, 2, 3]).unwrap())
        };
        assert!(schedule.on_done(key.0, key.1, RunId::new(), ended.clone()));
        assert!(!schedule.on_done(key.0, key.1, RunId::new(), ended), "it took the same end twice");
    }
    assert!(schedule.is_finished(), "it got stuck");
    // Every run came, once; and what failed has a reason.
    for (id, node) in plan.nodes().iter().enumerate() {
        match sizes.get(&id) {
            Some(total) => {
                let came = (0..*total).filter(|index| seen.contains(&(id, Some(*index)))).count();
                assert_eq!(came as u64, *total);
            }
            None => assert!(seen.contains(&(id, None)), "{} never came", node.name()),
        }
    }
    if failed.is_empty() {
        assert_eq!(schedule.conclusion(), Conclusion::Value(Value::nil()));
    }
    assert_eq!(schedule.held(), 0, "results are held that nobody needs");
    schedule
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_comes_once_and_not_before_its_inputs(
        tasks in tasks(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        fails in prop_oneof![Just(0_u64), any::<u64>().prop_map(|bits| bits & bits.rotate_left(9))],
        window in 1_usize..9,
    ) {
        drive(&plan(&text(&tasks)), &choices, fails, window);
    }
}

#[test]
fn a_million_runs_are_handed_out_one_by_one() {
    let plan = plan(
        "tasks.a.call = 't.list'
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }
         tasks.c = { call = 't.work', arguments.x = { map = 'b.result' } }",
    );
    let total = 999_990_u64;
    let mut schedule = Schedule::new(plan);
    let list = vec![7_u8; usize::try_from(total).unwrap()];
    let numbers: Vec<u32> = list.into_iter().map(u32::from).collect();
    assert!(matches!(schedule.next_step(), Some(Step::Run { node: 0, index: None, .. })));
    schedule.on_done(0, None, RunId::new(), Ended::Value(Value::encode(&numbers).unwrap()));
    let (mut flying, mut order, mut runs) = (std::collections::VecDeque::new(), Vec::new(), 0_u64);
    loop {
        while flying.len() < 8
            && let Some(step) = schedule.next_step()
        {
            if let Step::Run { node, index, .. } = step {
                runs += 1;
                if order.len() < 20 {
                    order.push((node, index.unwrap()));
                }
                flying.push_back((node, index));
            }
        }
        let Some((node, index)) = flying.pop_front() else { break };
        schedule.on_done(node, index, RunId::new(), Ended::Value(Value::encode(&1).unwrap()));
        assert!(schedule.held() <= 16 && schedule.queued() <= 16);
    }
    assert_eq!(runs, 2 * total);
    assert!(schedule.is_finished());
    // Depth first: stage two is not left behind by more than what was under way.
    assert!(order.contains(&(2, 0)), "{order:?}");
}

#[test]
fn the_deepest_task_that_is_ready_goes_first() {
    let plan = plan(
        "tasks.late = { call = 't.work', arguments.x = { map = 'b.result' } }
         tasks.a = { call = 't.work', arguments.x = { map = [1, 2, 3] } }
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }
         tasks.other.call = 't.list'",
    );
    let mut schedule = Schedule::new(plan);
    let mut order = Vec::new();
    while let Some(step) = schedule.next_step() {
        if let Step::Run { node, index, .. } = step {
            order.push(format!(
                "{node}{}",
                index.map(|index| format!("[{index}]")).unwrap_or_default()
            ));
            schedule.on_done(node, index, RunId::new(), Ended::Value(Value::encode(&1).unwrap()));
        }
    }
    assert_eq!(
        order,
        ["1[0]", "2[0]", "0[0]", "1[1]", "2[1]", "0[1]", "1[2]", "2[2]", "0[2]", "3"]
    );
}
