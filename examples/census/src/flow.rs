//! The census as code: the flow that `flow.toml` writes as a file, made of the same tasks.

use sandmill_guest::flow::{Options, as_completed, each};
use sandmill_guest::{Failure, context, flow};

use crate::table::{Census, Tally};
use crate::{count, list_files};

/// Counts what is in every Rust source file below a directory, and puts it together to a table of
/// crates, the longest first: `flow.toml` as code.
///
/// Files are counted in any order, and added to the table as they are done, so the flow holds the
/// table and never all counts.
#[flow]
pub fn census(
    /// A directory that was granted.
    #[default("/src".to_owned())]
    directory: String,
    /// How many crates to show; the totals are over all.
    #[default(20)]
    top: u32,
) -> Result<Census, Failure> {
    let files = list_files::submit(&directory);
    let timeout = Options::new().timeout(std::time::Duration::from_secs(30));
    let counts = count::with(timeout).map(&directory, each(&files));

    let total = counts.len()?;
    let mut tally = Tally::default();
    let mut done = as_completed(&counts, None);
    for run in done.by_ref().take(usize::try_from(total / 2)?) {
        tally.add(&run?.result(None)?);
    }
    context::report_progress(total / 2, Some(total), "half of the files are counted");
    for run in done {
        tally.add(&run?.result(None)?);
    }
    Ok(tally.table(usize::try_from(top)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge;

    #[test]
    fn the_flow_comes_to_what_the_tasks_come_to() {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/sample");
        let files = list_files(sample.to_owned()).unwrap();
        let counts = files.into_iter().map(|file| count(sample.to_owned(), file).unwrap());
        let by_hand = merge(counts.collect(), 2);
        assert_eq!(census(sample.to_owned(), 2).unwrap(), by_hand);
    }

    #[test]
    fn a_directory_that_is_not_there_fails_the_flow() {
        let failure = census("/no/such".to_owned(), 2).unwrap_err();
        assert_eq!(failure.kind(), Failure::RUN_FAILED);
        assert!(failure.message().contains("list_files"), "{failure}");
    }
}
