//! Counts what is in Rust source files: the tasks. How a file is read is in `lexer`, how files
//! become crates in `table`, and the flow that puts the tasks together as code in `flow`.

mod flow;
mod lexer;
mod table;

use std::fs;
use std::io;
use std::path::Path;

pub use flow::census;
use sandmill_guest::{Failure, context, log, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use table::{Census, CrateRow};

/// What is in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileCounts {
    /// Where it is, below the directory of the census.
    pub file: String,
    /// What is in it.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Lines in all.
    pub lines: u64,
    /// Lines of nothing but white space.
    pub blank: u64,
    /// Lines of nothing but comments.
    pub comments: u64,
    /// Functions with a name: items, methods and declarations.
    pub functions: u64,
    /// `unsafe` blocks.
    pub unsafe_blocks: u64,
}

/// Lists the Rust source files below a directory, sorted. Symbolic links are not followed.
#[task]
pub fn list_files(
    /// A directory that was granted.
    directory: String,
) -> Result<Vec<String>, Failure> {
    let root = Path::new(&directory);
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let here = root.join(&folder);
        let entries = fs::read_dir(&here).map_err(|error| unreadable(&here, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&here, &error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                log::warn!("left out {}: the name is not UTF-8", entry.path().display());
                continue;
            };
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && name.ends_with(".rs") {
                files.push(path);
            }
        }
        context::report_progress(files.len() as u64, None, "files found");
    }
    files.sort_unstable();
    Ok(files)
}

/// Counts what is in one Rust source file.
#[task]
pub fn count(
    /// A directory that was granted.
    directory: String,
    /// A file below it.
    file: String,
) -> Result<FileCounts, Failure> {
    let path = Path::new(&directory).join(&file);
    let source = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
    Ok(FileCounts { counts: lexer::count(&source), file })
}

/// Puts the counts of files together to a table of crates, the longest first.
#[task]
pub fn merge(
    counts: Vec<FileCounts>,
    /// How many crates to show; the totals are over all.
    #[default(20)]
    top: u32,
) -> Census {
    table::merge(&counts, usize::try_from(top).unwrap_or(usize::MAX))
}

sandmill_guest::export!(list_files, count, merge, flow census);

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => "not-found",
        _ => "unreadable",
    };
    Failure::new(kind, format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> String {
        concat!(env!("CARGO_MANIFEST_DIR"), "/sample").to_owned()
    }

    #[test]
    fn the_sample_is_counted_and_merged() {
        let files = list_files(sample()).unwrap();
        assert_eq!(
            files,
            [
                "loose.rs",
                "quarry-0.3.1/src/lib.rs",
                "sieve-1.2.0/src/deep/mesh.rs",
                "sieve-1.2.0/src/lib.rs"
            ]
        );
        let counts: Vec<_> = files.into_iter().map(|file| count(sample(), file).unwrap()).collect();
        let census = merge(counts, 2);
        assert_eq!(census.total.crates, 3);
        assert_eq!(census.total.files, 4);
        assert_eq!(census.crates.len(), 2);
        assert_eq!(census.crates[0].name, "sieve-1.2.0");
        assert_eq!(census.crates[0].files, 2);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let failure = count(sample(), "no/such.rs".to_owned()).unwrap_err();
        assert_eq!(failure.kind(), "not-found");
        assert!(failure.message().contains("no/such.rs"), "{failure}");
        assert_eq!(list_files("/no/such".to_owned()).unwrap_err().kind(), "not-found");
    }
}
