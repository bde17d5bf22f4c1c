//! Random flows with triggers, skips, failures and ways to take errors, against an oracle that says
//! of each task, from what became of those before it, what has to become of it.

mod play;
mod word;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::play::{Key, Way, play, scripted};
use self::word::compare;
use crate::support::plan;
use proptest::prelude::*;
use sandmill_flow::{Blame, Cause, Conclusion, Ended, NodeId, Schedule, Step};
use sandmill_wire::{RunId, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    After,
    From,
    Map,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Raise,
    Skip,
    States,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Completed,
    Skipped,
    Failed,
}

/// What became of a run: handed out or told of by itself, or among those that ended all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    end: End,
    cut: bool,
}

/// What became of a task.
#[derive(Debug, Clone)]
enum Fate {
    /// It is not mapped, or ended before it was known how many runs it would have.
    Whole(End),
    Runs(Vec<Piece>),
}

#[derive(Debug, Clone)]
struct Task {
    edges: Vec<(usize, How, Mode)>,
    /// Maps over a list of this many, too.
    known: Option<usize>,
    shortest: bool,
    trigger: usize,
    skips: bool,
    max_failures: Option<u64>,
    fail_fast: bool,
}

const TRIGGERS: [&str; 8] = [
    "'all-successful'",
    "'all-successful'",
    "'any-successful'",
    "'all-failed'",
    "'any-failed'",
    "'all-finished'",
    "{ some_successful = { at_least = 2 } }",
    "{ some_successful = { at_least = '34%', at_most = '67%' } }",
];

impl Task {
    fn is_mapped(&self) -> bool {
        self.known.is_some() || self.edges.iter().any(|(_, how, _)| *how == How::Map)
    }

    fn holds(&self, ends: &[End]) -> bool {
        let failed = ends.iter().filter(|end| **end == End::Failed).count();
        let (all, good) = (ends.len(), ends.len() - failed);
        match self.trigger {
            0 | 1 => failed == 0,
            2 => good > 0,
            3 => good == 0,
            4 => failed > 0,
            5 => true,
            6 => good >= 2,
            _ => good * 100 >= 34 * all && good * 100 <= 67 * all,
        }
    }

    /// Whether no further end can make the trigger hold.
    fn is_lost(&self, ends: &[End]) -> bool {
        match self.trigger {
            0 | 1 => ends.contains(&End::Failed),
            3 => ends.iter().any(|end| *end != End::Failed),
            _ => false,
        }
    }

    /// Whether its arguments do without what did not complete there.
    fn accounts(&self, other: usize) -> bool {
        let mut reads = self.edges.iter().filter(|(id, how, _)| *id == other && *how != How::After);
        reads.clone().count() > 0 && reads.all(|(.., mode)| *mode != Mode::Raise)
    }

    fn is_all_successful(&self) -> bool {
        self.trigger < 2
    }

    /// The ends of a task before it that its trigger counts.
    fn counted(&self, other: usize, ends: &[End]) -> Vec<End> {
        let excused = self.is_all_successful() && self.accounts(other);
        ends.iter().copied().filter(|end| !(excused && *end == End::Failed)).collect()
    }
}

fn tasks(policies: bool) -> impl Strategy<Value = Vec<Task>> {
    let how = prop_oneof![Just(How::After), Just(How::From), Just(How::Map), Just(How::Map)];
    let mode =
        prop_oneof![Just(Mode::Raise), Just(Mode::Raise), Just(Mode::Skip), Just(Mode::States)];
    let task = (
        prop::collection::vec((any::<prop::sample::Index>(), how, mode), 0..4),
        prop::option::weighted(0.4, 0_usize..if policies { 14 } else { 5 }),
        prop::bool::weighted(0.8),
        0..TRIGGERS.len(),
        prop::bool::weighted(0.6),
        prop::option::weighted(0.5, 0_u64..3),
        prop::bool::weighted(0.2),
    );
    prop::collection::vec(task, 1..8).prop_map(move |drawn| {
        let mut tasks: Vec<Task> = Vec::new();
        for (edges, known, shortest, trigger, skips, max_failures, fail_fast) in drawn {
            let position = tasks.len();
            let edge = |(index, how, mode): (prop::sample::Index, How, Mode)| {
                let other = index.index(position);
                // The elements of one result have no states.
                let odd = how == How::Map && mode == Mode::States && !tasks[other].is_mapped();
                (other, how, if odd { Mode::Skip } else { mode })
            };
            let edges = if position == 0 { Vec::new() } else { edges };
            let edges: Vec<_> = edges.into_iter().map(edge).collect();
            let task = Task { edges, known, shortest, trigger, skips, max_failures, fail_fast };
            let policies = policies && task.is_mapped();
            let max_failures = task.max_failures.filter(|_| policies);
            let fail_fast = task.fail_fast && policies;
            tasks.push(Task { max_failures, fail_fast, ..task });
        }
        tasks
    })
}

fn text(tasks: &[Task]) -> String {
    let mut text = String::new();
    for (position, task) in tasks.iter().enumerate() {
        text.push_str(&format!("[tasks.t{position}]\ncall = 't.list'\n"));
        let mut after = Vec::new();
        let mut maps = usize::from(task.known.is_some());
        for (argument, (other, how, mode)) in task.edges.iter().enumerate() {
            let form = match how {
                How::After => {
                    after.push(format!("'t{other}'"));
                    continue;
                }
                How::From => "from",
                How::Map => "map",
            };
            maps += usize::from(*how == How::Map);
            let mode = match mode {
                Mode::Raise => "raise",
                Mode::Skip => "skip",
                Mode::States => "states",
            };
            text.push_str(&format!(
                "arguments.a{argument} = {{ {form} = 't{other}.result', errors = '{mode}' }}\n"
            ));
        }
        if let Some(known) = task.known {
            text.push_str(&format!("arguments.known = {{ map = {:?} }}\n", vec![7; known]));
        }
        if maps > 1 && task.shortest {
            text.push_str("zip = 'shortest'\n");
        }
        if !task.edges.is_empty() {
            text.push_str(&format!("trigger = {}\n", TRIGGERS[task.trigger]));
        }
        if let Some(most) = task.max_failures {
            text.push_str(&format!("max_failures = {most}\n"));
        }
        if task.is_mapped() {
            text.push_str(&format!("fail_fast = {}\n", task.fail_fast));
        }
        text.push_str(&format!(
            "skip_on_upstream_skip = {}\nafter = [{}]\n",
            task.skips,
            after.join(",")
        ));
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 1_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_task_ends_as_those_before_it_say(
        tasks in tasks(false),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        seed in any::<u64>(),
        window in 1_usize..9,
    ) {
        let plan = plan(&text(&tasks));
        let way = Way { seed, choices: &choices, window, dies: usize::MAX, journal: None };
        let played = play(&plan, &tasks, way);
        prop_assert!(played.cuts.is_empty());
        compare(&tasks, &played);
        // The order in which calls end is no matter.
        let again = play(&plan, &tasks, Way { choices: &[], window: 1, ..way });
        prop_assert_eq!(&played.ends, &again.ends);
        prop_assert_eq!(&played.sizes, &again.sizes);
        let last_failed = plan.nodes().iter().enumerate().any(|(id, node)| {
            node.is_terminal()
                && played.ends.iter().any(|((of, _), end)| *of == id && *end == End::Failed)
        });
        let failed = matches!(played.conclusion, Some(Conclusion::Failed(_)));
        prop_assert_eq!(failed, last_failed);
    }

    #[test]
    fn maps_that_fail_too_often_end_and_those_after_them_too(
        tasks in tasks(true),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        seed in any::<u64>(),
        window in 1_usize..9,
    ) {
        let plan = plan(&text(&tasks));
        let way = Way { seed, choices: &choices, window, dies: usize::MAX, journal: None };
        compare(&tasks, &play(&plan, &tasks, way));
    }

    #[test]
    fn a_flow_that_is_taken_up_asks_for_all_that_was_started_and_starts_no_other(
        tasks in tasks(true),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        seed in any::<u64>(),
        window in 1_usize..9,
        dies in 0_usize..40,
    ) {
        // A run is recalled for sure only where one thing alone can keep it from being started.
        let mut tasks = tasks;
        let mut stops = vec![false; tasks.len()];
        for position in 0..tasks.len() {
            let before = tasks[position].edges.iter().any(|(other, ..)| stops[*other]);
            if before {
                (tasks[position].max_failures, tasks[position].fail_fast) = (None, false);
            }
            let task = &tasks[position];
            stops[position] = before || task.max_failures.is_some() || task.fail_fast;
        }
        let plan = plan(&text(&tasks));
        let way = Way { seed, choices: &choices, window, dies, journal: None };
        let first = play(&plan, &tasks, way);
        let second = Way { choices: &[], dies: usize::MAX, journal: Some(&first), ..way };
        let second = play(&plan, &tasks, second);
        for key in first.called.keys() {
            prop_assert!(second.called.contains_key(key), "{:?} is not asked for", key);
        }
        for (node, index) in second.called.keys().filter(|(node, _)| first.closed.contains(node)) {
            prop_assert!(first.called.contains_key(&(*node, *index)), "{} starts again", node);
        }
        compare(&tasks, &second);
    }

    #[test]
    fn a_flow_that_fails_fast_starts_nothing_after_its_first_failure(
        tasks in tasks(true),
        seed in any::<u64>(),
        window in 1_usize..9,
    ) {
        let plan = plan(&format!("flow.fail_fast = true\n{}", text(&tasks)));
        // What somebody makes something of does not stop the flow.
        let accounted = |node: NodeId| {
            tasks.iter().any(|task| {
                task.edges.iter().any(|(other, ..)| *other == node)
                    && (!task.is_all_successful() || task.accounts(node))
            })
        };
        let mut schedule = Schedule::new(Arc::clone(&plan));
        let (mut flying, mut stopped) = (Vec::<Key>::new(), false);
        let mut to_cancel: BTreeSet<NodeId> = BTreeSet::new();
        let mut unfinished: BTreeSet<NodeId> = BTreeSet::new();
        loop {
            while flying.len() < window {
                match schedule.next_step() {
                    None => break,
                    Some(Step::Run { node, index, .. }) => {
                        prop_assert!(!stopped, "{} {:?} starts after the flow stopped", node, index);
                        flying.push((node, index));
                    }
                    Some(Step::Mapped { .. }) => {}
                    Some(Step::Cancel { node, index }) => {
                        prop_assert_eq!(index, None);
                        to_cancel.remove(&node);
                    }
                    Some(Step::End { node, cause, .. }) => {
                        let failed = !matches!(cause, Cause::Skipped(_));
                        if failed && !accounted(node) && !stopped {
                            stopped = true;
                            to_cancel.extend(flying.iter().map(|(node, _)| *node));
                        }
                        if matches!(cause, Cause::NotRun(_)) {
                            prop_assert!(stopped || tasks[node].is_mapped());
                            unfinished.insert(node);
                        }
                    }
                }
            }
            if flying.is_empty() {
                break;
            }
            let key = flying.remove(0);
            let ended = match scripted(seed, key) {
                End::Completed => Ended::Value(Value::encode(&[1, 2, 3]).unwrap()),
                End::Skipped => Ended::Skipped,
                End::Failed => Ended::Failed(Blame::unstarted("x", "Failed", "on purpose")),
            };
            if matches!(ended, Ended::Failed(_)) && !accounted(key.0) && !stopped {
                stopped = true;
                to_cancel.extend(flying.iter().map(|(node, _)| *node));
            }
            prop_assert!(schedule.on_done(key.0, key.1, RunId::new(), ended));
        }
        prop_assert!(schedule.is_finished());
        prop_assert!(to_cancel.is_empty(), "{:?} is still under way", to_cancel);
        prop_assert_eq!(schedule.held(), 0);
    }

    #[test]
    fn nothing_comes_after_a_stop(
        tasks in tasks(true),
        seed in any::<u64>(),
        steps in 0_usize..30,
    ) {
        let mut schedule = Schedule::new(plan(&text(&tasks)));
        let mut flying = Vec::new();
        for _ in 0..steps {
            if let Some(Step::Run { node, index, .. }) = schedule.next_step() {
                flying.push((node, index));
            }
        }
        schedule.stop();
        for key in flying {
            let failed = scripted(seed, key) == End::Failed;
            let ended = if failed {
                Ended::Failed(Blame::unstarted("x", "Failed", "on purpose"))
            } else {
                Ended::Value(Value::encode(&[1]).unwrap())
            };
            prop_assert!(schedule.on_done(key.0, key.1, RunId::new(), ended));
            prop_assert!(schedule.next_step().is_none());
        }
    }
}
