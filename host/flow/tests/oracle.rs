//! Random flows with triggers, skips, failures and ways to take errors, against an oracle that says
//! of each task, from what became of those before it, what has to become of it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use sandmill_flow::{Blame, Cause, Conclusion, Ended, NodeId, Plan, Schedule, Step};
use sandmill_wire::{RunId, Value};
use support::plan;

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
        text.push_str(&format!(
            "fail_fast = {}\nskip_on_upstream_skip = {}\nafter = [{}]\n",
            task.fail_fast,
            task.skips,
            after.join(",")
        ));
    }
    text
}

type Key = (NodeId, Option<u64>);

/// How a call ends that is made.
fn scripted(seed: u64, (node, index): Key) -> End {
    let mut x = seed ^ ((node as u64) << 32) ^ index.map_or(77, |index| index + 1);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // A fourth of all seeds fails nothing, so that the other paths are walked too.
    match (x ^ (x >> 31)) % 8 {
        0 | 1 if seed % 4 > 0 => End::Failed,
        2 if seed % 3 > 0 => End::Skipped,
        _ => End::Completed,
    }
}

/// What became of every run.
#[derive(Default)]
struct Played {
    ends: BTreeMap<Key, End>,
    /// Ends of runs that were told of all at once, by task.
    cuts: BTreeMap<NodeId, BTreeSet<End>>,
    sizes: BTreeMap<NodeId, u64>,
    cancelled: BTreeSet<NodeId>,
    called: BTreeMap<Key, Value>,
    /// Tasks that started nothing any more from some moment on.
    closed: BTreeSet<NodeId>,
    not_run: BTreeSet<Key>,
    conclusion: Option<Conclusion>,
}

impl Played {
    fn fate(&self, node: NodeId) -> Option<Fate> {
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
struct Way<'a> {
    seed: u64,
    /// The order in which calls end.
    choices: &'a [prop::sample::Index],
    window: usize,
    /// After how many ends the host dies.
    dies: usize,
    /// What was written down before it did.
    journal: Option<&'a Played>,
}

/// Plays a flow to its end, or to that of its host.
fn play(plan: &Arc<Plan>, tasks: &[Task], way: Way<'_>) -> Played {
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
fn done(
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

/// What has to become of a run: it is called, or ends so without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Call,
    End(End),
}

/// What has to become of a task.
#[derive(Debug)]
enum Oracle {
    Whole(Word),
    Runs(Vec<Vec<Word>>),
}

fn oracle(tasks: &[Task], fates: &[Fate], node: usize) -> Oracle {
    let task = &tasks[node];
    let failed = Oracle::Whole(Word::End(End::Failed));
    let upstream: BTreeSet<usize> = task.edges.iter().map(|(other, ..)| *other).collect();
    let gate = |other: usize| {
        let of = |(id, how, _): &&(usize, How, Mode)| {
            *id == other && (*how != How::Map || !tasks[other].is_mapped())
        };
        task.edges.iter().find(of).is_some()
    };
    let is_unsized =
        |other: usize| tasks[other].is_mapped() && matches!(fates[other], Fate::Whole(_));
    let ends = |other: usize| match &fates[other] {
        Fate::Whole(end) => vec![*end],
        Fate::Runs(pieces) => pieces.iter().map(|piece| piece.end).collect(),
    };
    let (whole, pipes): (Vec<usize>, Vec<usize>) =
        upstream.iter().copied().partition(|other| gate(*other) || is_unsized(*other));
    let skips = |other: usize| task.skips && !task.accounts(other);
    // Skipped with what is before it.
    if whole.iter().any(|other| skips(*other) && ends(*other).contains(&End::Skipped)) {
        return Oracle::Whole(Word::End(End::Skipped));
    }
    let is_there = |other: usize| match (&fates[other], tasks[other].is_mapped()) {
        (Fate::Whole(end), false) => *end == End::Completed,
        (Fate::Whole(_), true) => false,
        (Fate::Runs(_), _) => true,
    };
    let maps = || task.edges.iter().filter(|(_, how, _)| *how == How::Map);
    if maps().any(|(other, _, mode)| *mode == Mode::Skip && !is_there(*other)) {
        return Oracle::Whole(Word::End(End::Skipped));
    }
    // The trigger, as far as it can be told.
    let base: Vec<End> =
        whole.iter().flat_map(|other| task.counted(*other, &ends(*other))).collect();
    let decided =
        pipes.is_empty() || upstream.iter().any(|other| !gate(*other) && is_unsized(*other));
    if if decided { !task.holds(&base) } else { task.is_lost(&base) } {
        // A task that waits for nothing has no trigger in the file.
        if !task.edges.is_empty() {
            return failed;
        }
    }
    // What it cannot do without.
    let mut lengths: Vec<usize> = task.known.into_iter().collect();
    for (other, how, mode) in &task.edges {
        match how {
            How::After => {}
            How::From if *mode == Mode::Raise && ends(*other).contains(&End::Failed) => {
                return failed;
            }
            How::From => {}
            How::Map if !is_there(*other) => return failed,
            How::Map => lengths.push(match &fates[*other] {
                Fate::Whole(_) => 3,
                Fate::Runs(pieces) => pieces.len(),
            }),
        }
    }
    if !task.is_mapped() {
        return Oracle::Whole(Word::Call);
    }
    let shortest = *lengths.iter().min().unwrap();
    if !(task.shortest && lengths.len() > 1) && lengths.iter().any(|length| *length != shortest) {
        return failed;
    }
    let run = |index: usize| {
        let piece = |other: usize| match &fates[other] {
            Fate::Whole(end) => Piece { end: *end, cut: false },
            Fate::Runs(pieces) => pieces[index],
        };
        let pieces = || pipes.iter().map(|other| (*other, piece(*other)));
        let left_out = |other: usize, piece: Piece| {
            let skip = maps().any(|(id, _, mode)| *id == other && *mode == Mode::Skip);
            skip && piece.end != End::Completed
        };
        let mut words = Vec::new();
        // What follows from runs that ended all at once is said before the rest is known.
        for (other, piece) in pieces().filter(|(_, piece)| piece.cut) {
            if piece.end == End::Skipped && skips(other) || left_out(other, piece) {
                words.push(Word::End(End::Skipped));
            } else if piece.end == End::Failed && !task.accounts(other) {
                words.push(Word::End(End::Failed));
            }
        }
        if !words.is_empty() {
            return words;
        }
        if pieces().any(|(other, piece)| {
            piece.end == End::Skipped && skips(other) || left_out(other, piece)
        }) {
            return vec![Word::End(End::Skipped)];
        }
        let counted = pieces().flat_map(|(other, piece)| task.counted(other, &[piece.end]));
        let counted: Vec<End> = base.iter().copied().chain(counted).collect();
        if !pipes.is_empty() && !task.holds(&counted) {
            return vec![Word::End(End::Failed)];
        }
        for (other, _, mode) in maps() {
            if !tasks[*other].is_mapped() {
                continue;
            }
            match (piece(*other).end, mode) {
                (End::Completed, _) | (_, Mode::States) | (End::Skipped, Mode::Raise) => {}
                (_, Mode::Skip) => return vec![Word::End(End::Skipped)],
                (End::Failed, Mode::Raise) => return vec![Word::End(End::Failed)],
            }
        }
        vec![Word::Call]
    };
    Oracle::Runs((0..shortest).map(run).collect())
}

/// Holds what became of every task against the oracle.
fn compare(tasks: &[Task], played: &Played) {
    let mut fates: Vec<Option<Fate>> = Vec::new();
    for (node, task) in tasks.iter().enumerate() {
        fates.push(played.fate(node));
        let before: Option<Vec<Fate>> = task
            .edges
            .iter()
            .all(|(other, ..)| fates[*other].is_some())
            // Only those before it are looked at.
            .then(|| {
                fates.iter().map(|fate| fate.clone().unwrap_or(Fate::Whole(End::Failed))).collect()
            });
        let Some(before) = before else { continue };
        let told = |key: Key, words: &[Word]| {
            let called = played.called.contains_key(&key);
            let fits = |word: &Word| match (word, played.ends.get(&key)) {
                (Word::Call, _) => called,
                (Word::End(end), Some(found)) => !called && end == found,
                (Word::End(_), None) => false,
            };
            assert!(
                words.iter().any(fits),
                "task {node} {key:?}: {words:?}, but called {called}, and {:?}",
                played.ends.get(&key)
            );
        };
        match oracle(tasks, &before, node) {
            Oracle::Whole(word) => {
                assert!(!played.sizes.contains_key(&node), "task {node} is to have no runs");
                told((node, None), &[word]);
            }
            Oracle::Runs(runs) => {
                assert_eq!(played.sizes.get(&node), Some(&(runs.len() as u64)), "task {node}");
                for (index, words) in runs.iter().enumerate() {
                    let key = (node, Some(index as u64));
                    let alone = played.ends.contains_key(&key);
                    let cut = played.cuts.get(&node);
                    let stops = task.max_failures.is_some() || task.fail_fast;
                    if alone {
                        told(key, words);
                    } else if !stops {
                        let ends = cut.unwrap_or_else(|| panic!("{key:?} never came"));
                        let fits = |end: &End| words.contains(&Word::End(*end));
                        assert!(ends.iter().any(fits), "{key:?}: {words:?}, but {ends:?}");
                    } else {
                        assert!(cut.is_some(), "{key:?} never came");
                    }
                }
            }
        }
    }
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
        fail_fast in prop::bool::weighted(0.2),
    ) {
        let head = if fail_fast { "flow.fail_fast = true\n" } else { "" };
        // What stops the flow has no policy of its own to be held against.
        let tasks: Vec<Task> = tasks
            .into_iter()
            .map(|task| match fail_fast {
                true => Task { max_failures: None, fail_fast: true, ..task },
                false => task,
            })
            .collect();
        let plan = plan(&format!("{head}{}", text(&tasks)));
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
        if !fail_fast {
            compare(&tasks, &second);
        }
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
