//! What the cases of the examples share.

use std::fs;
use std::path::PathBuf;

use sandmill::Grants;
use sandmill_test_artifacts as artifacts;

/// A directory of an example, granted read-only under another name.
pub(crate) fn granted(example: &str, directory: &str, guest: &str) -> Grants {
    let host: PathBuf = artifacts::example(example).join(directory);
    assert!(fs::metadata(&host).is_ok_and(|found| found.is_dir()), "{} is there", host.display());
    let grant = format!("{}::{guest}:ro", host.display());
    Grants { dirs: vec![grant.parse().unwrap()], ..Grants::default() }
}
