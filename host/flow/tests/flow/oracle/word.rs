//! The oracle: what has to become of a task, by what became of those before it.

use std::collections::BTreeSet;

use super::play::{Key, Played};
use super::{End, Fate, How, Mode, Piece, Task};

/// What has to become of a run: it is called, or ends so without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Call,
    End(End),
}

/// What has to become of a task.
#[derive(Debug)]
pub(crate) enum Oracle {
    Whole(Word),
    Runs(Vec<Vec<Word>>),
}

pub(crate) fn oracle(tasks: &[Task], fates: &[Fate], node: usize) -> Oracle {
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
pub(crate) fn compare(tasks: &[Task], played: &Played) {
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
