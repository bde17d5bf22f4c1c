//! Plays a flow by its schedule, to its end or to that of its host, and writes down what came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use sandmill_flow::{Blame, Cause, Conclusion, Ended, NodeId, Plan, Schedule, Step};
use sandmill_wire::{RunId, Value};

use super::{End, Fate, Piece, Task};

pub(crate) type Key = (NodeId, Option<u64>);

/// How a call ends that is made.
pub(crate) fn scripted(seed: u64, (node, index): Key) -> End {
    let mut x = seed ^ ((node as u64) << 32) ^ index.map_or(77, |index| index + 1);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // A fourth of all seeds fails nothing, so that the other paths are walked too.
    match (x ^ (x >> 31)) % 8 {
        0 | 1 if !seed.is_multiple_of(4) => End::Failed,
        2 if !seed.is_multiple_of(3) => End::Skipped,
        _ => End::Completed,
    }
}

/// What became of every run.
#[derive(Default)]
pub(crate) struct Played {
    pub(crate) ends: BTreeMap<Key, End>,
    /// Ends of runs that were told of all at once, by task.
    pub(crate) cuts: BTreeMap<NodeId, BTreeSet<End>>,
    pub(crate) sizes: BTreeMap<NodeId, u64>,
    pub(crate) cancelled: BTreeSet<NodeId>,
    pub(crate) called: BTreeMap<Key, Value>,
    /// Tasks that started nothing any more from some moment on.
    pub(crate) closed: BTreeSet<NodeId>,
    pub(crate) not_run: BTreeSet<Key>,
    pub(crate) conclusion: Option<Conclusion>,
}

impl Played {
    pub(crate) fn fate(&self, node: NodeId) -> Option<Fate> {
        let Some(total) = self.sizes.get(&node) else {
            return self.ends.get(&(node, None)).copied().map(Fate::Whole);
        };
        let cut = self.cuts.get(&node);
        let piece = |index| match self.ends.get(&(node, Some(index))) {
            Some(end) => Some(Piece { end: *end, cut: false }),
            // Which runs ended how is not told, so it is known only where all ended alike.
            None => match cut {
                Some(ends) if ends.len() == 1 => {
                    ends.first().map(|end| Piece { end: *end, cut: true })
                }
                _ => None,
            },
        };
        (0..*total).map(piece).collect::<Option<_>>().map(Fate::Runs)
    }
}

/// How a flow is played.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) seed: u64,
    /// The order in which calls end.
    pub(crate) choices: &'a [prop::sample::Index],
    pub(crate) window: usize,
    /// After how many ends the host dies.
    pub(crate) dies: usize,
    /// What was written down before it did.
    pub(crate) journal: Option<&'a Played>,
}

/// Plays a flow to its end, or to that of its host.
pub(crate) fn play(plan: &Arc<Plan>, tasks: &[Task], way: Way<'_>) -> Played {
    let Way { seed, choices, window, mut dies, journal } = way;
    let mut schedule = Schedule::new(Arc::clone(plan));
    let before = |key: &Key| journal.and_then(|played| played.called.get(key));
    if let Some(journal) = journal {
        let ends = journal.ends.keys().filter(|key| !journal.not_run.contains(key));
        let told = journal.called.keys().chain(ends);
        let all_at_once = journal.cuts.keys().map(|node| (*node, None));
        told.copied().chain(all_at_once).for_each(|(node, index)| schedule.recall(node, index));
    }
    let mut played = Played::default();
    let mut flying: Vec<Key> = Vec::new();
    let mut cancelled: BTreeSet<Key> = BTreeSet::new();
    let mut own: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut choice = choices.iter().cycle();
    loop {
        while flying.len() < window {
            match schedule.next_step() {
                None => break,
                Some(Step::Mapped { node, total }) => {
                    assert!(played.sizes.insert(node, total).is_none(), "{node} was sized twice");
                }
                Some(Step::Cancel { node, index }) => {
                    assert!(tasks[node].fail_fast && index.is_none());
                    played.cancelled.insert(node);
                    cancelled.extend(flying.iter().filter(|(id, _)| *id == node));
                }
                Some(Step::End { node, index, cause }) => {
                    let end = match cause {
                        Cause::Skipped(_) => End::Skipped,
                        Cause::Inputs(_) => {
                            *own.entry(node).or_default() += 1;
                            End::Failed
                        }
                        _ => End::Failed,
                    };
                    let all = index.is_none() && played.sizes.contains_key(&node);
                    if let Cause::NotRun(why) = &cause {
                        let task = &tasks[node];
                        let most = task.max_failures.filter(|_| !task.fail_fast).unwrap_or(0);
                        let flow = why.contains("the flow stops");
                        assert!(flow || all && own[&node] > most, "{why}");
                        played.closed.insert(node);
                        played.not_run.insert((node, index));
                        assert!(flow || task.fail_fast || task.max_failures.is_some());
                    }
                    if all {
                        played.cuts.entry(node).or_default().insert(end);
                    } else {
                        let before = played.ends.insert((node, index), end);
                        assert!(before.is_none(), "{node} {index:?} came twice");
                    }
                }
                Some(Step::Run { node, index, arguments }) => {
                    let key = (node, index);
                    assert!(!played.ends.contains_key(&key));
                    let most = tasks[node].max_failures.unwrap_or(u64::MAX);
                    let failed = own.get(&node).copied().unwrap_or(0);
                    match before(&key) {
                        Some(then) => assert_eq!(then, &arguments, "{key:?} takes something else"),
                        None => {
                            assert!(failed <= most, "{node} goes on after {failed} failures");
                            assert!(!tasks[node].fail_fast || failed == 0, "{node} goes on");
                        }
                    }
                    let twice = played.called.insert(key, arguments);
                    assert!(twice.is_none(), "{key:?} came twice");
                    match journal.and_then(|played| played.ends.get(&key)) {
                        Some(end) => done(&mut schedule, &mut played, &mut own, key, *end),
                        None => flying.push(key),
                    }
                }
            }
        }
        if flying.is_empty() {
            break;
        }
        if dies == 0 {
            return played;
        }
        dies -= 1;
        let key = flying.swap_remove(choice.next().map_or(0, |choice| choice.index(flying.len())));
        let end = if cancelled.contains(&key) { End::Failed } else { scripted(seed, key) };
        done(&mut schedule, &mut played, &mut own, key, end);
    }
    assert!(schedule.is_finished(), "it got stuck");
    assert_eq!(schedule.held(), 0, "results are held that nobody needs");
    assert!(schedule.next_step().is_none());
    played.conclusion = Some(schedule.conclusion());
    played
}

/// A call ends.
pub(crate) fn done(
    schedule: &mut Schedule,
    played: &mut Played,
    own: &mut BTreeMap<NodeId, u64>,
    key: Key,
    end: End,
) {
    played.ends.insert(key, end);
    let ended = match end {
        End::Completed => Ended::Value(Value::encode(&[1, 2, 3]).unwrap()),
        End::Skipped => Ended::Skipped,
        End::Failed => {
            *own.entry(key.0).or_default() += 1;
            Ended::Failed(Blame::unstarted(format!("{key:?}"), "Failed", "on purpose"))
        }
    };
    // The same each time, because states tell of it.
    let run: RunId = "0198b1e0-0000-7000-8000-000000000001".parse().unwrap();
    assert!(schedule.on_done(key.0, key.1, run, ended.clone()));
    assert!(!schedule.on_done(key.0, key.1, run, ended), "it took one end twice");
}
