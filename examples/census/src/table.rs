//! From counts of files to a table of crates.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Counts, FileCounts};

/// A table of crates, the longest first, and the totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Census {
    /// The crates with most lines.
    pub crates: Vec<CrateRow>,
    /// All crates together.
    pub total: Total,
}

/// One crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CrateRow {
    /// Its directory: `name-version`.
    pub name: String,
    /// How many files it has.
    pub files: u64,
    /// What is in them.
    #[serde(flatten)]
    pub counts: Counts,
}

/// All crates together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Total {
    /// How many crates there are.
    pub crates: u64,
    /// How many files they have.
    pub files: u64,
    /// What is in them.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Counts {
    fn add(&mut self, more: &Self) {
        self.lines += more.lines;
        self.blank += more.blank;
        self.comments += more.comments;
        self.functions += more.functions;
        self.unsafe_blocks += more.unsafe_blocks;
    }
}

/// A table under way: files come one by one, in any order.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The files of each crate, and what is in them.
    by_crate: BTreeMap<String, (u64, Counts)>,
    files: u64,
    total: Counts,
}

impl Tally {
    /// Adds what is in one file.
    pub(crate) fn add(&mut self, file: &FileCounts) {
        let name = crate_of(&file.file).to_owned();
        let (files, counts) = self.by_crate.entry(name).or_default();
        *files += 1;
        counts.add(&file.counts);
        self.files += 1;
        self.total.add(&file.counts);
    }

    /// The table of the `top` longest crates; equal ones go by name.
    pub(crate) fn table(self, top: usize) -> Census {
        let total =
            Total { crates: self.by_crate.len() as u64, files: self.files, counts: self.total };
        let rows = self.by_crate.into_iter();
        let mut crates: Vec<_> =
            rows.map(|(name, (files, counts))| CrateRow { name, files, counts }).collect();
        crates.sort_by_key(|row| Reverse(row.counts.lines));
        crates.truncate(top);
        Census { crates, total }
    }
}

/// Groups `files` by crate and keeps the `top` longest.
pub(crate) fn merge(files: &[FileCounts], top: usize) -> Census {
    let mut tally = Tally::default();
    files.iter().for_each(|file| tally.add(file));
    tally.table(top)
}

/// The crate that a file belongs to: the first directory named like `name-1.2.3`, else the first
/// directory, else `.` for a file that lies loose.
fn crate_of(file: &str) -> &str {
    let mut folders = file.rsplit_once('/').map_or("", |(folders, _)| folders).split('/');
    let first = folders.clone().next().filter(|first| !first.is_empty()).unwrap_or(".");
    folders.find(|folder| has_version(folder)).unwrap_or(first)
}

fn has_version(folder: &str) -> bool {
    // The version may hold dashes itself: `name-1.0.0-beta.2`.
    folder.match_indices('-').any(|(dash, _)| {
        let version = &folder[dash + 1..];
        let mut numbers = version.splitn(3, '.');
        let is_number =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        dash > 0
            && numbers.next().is_some_and(is_number)
            && numbers.next().is_some_and(is_number)
            && numbers.next().is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_find_their_crate() {
        for (file, name) in [
            ("registry-0123456789abcdef/serde-1.0.1/src/lib.rs", "serde-1.0.1"),
            ("serde-1.0.1/src/de/mod.rs", "serde-1.0.1"),
            ("wasi-0.14.7+wasi-0.2.4/src/lib.rs", "wasi-0.14.7+wasi-0.2.4"),
            ("md-5-0.10.6/src/lib.rs", "md-5-0.10.6"),
            ("x-1.0.0-beta.2/build.rs", "x-1.0.0-beta.2"),
            ("mine/src/lib.rs", "mine"),
            ("main.rs", "."),
        ] {
            assert_eq!(crate_of(file), name, "{file}");
        }
    }

    #[test]
    fn the_longest_come_first_and_totals_are_over_all() {
        let file = |file: &str, lines| FileCounts {
            file: file.to_owned(),
            counts: Counts { lines, ..Counts::default() },
        };
        let files = [file("a-1.0.0/x.rs", 2), file("b-1.0.0/x.rs", 3), file("a-1.0.0/y.rs", 1)];
        let census = merge(&files, 1);
        assert_eq!((census.total.crates, census.total.files, census.total.counts.lines), (2, 3, 6));
        assert_eq!(census.crates.len(), 1);
        assert_eq!((&*census.crates[0].name, census.crates[0].files), ("a-1.0.0", 2));
    }
}
