//! The crate's copy of the contract is the contract.

use std::fs;
use std::path::Path;

fn files(directory: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| (file.file_name(), fs::read(file.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_copy_of_the_contract_is_equal_to_it() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let original = files(&here.join("../../wit/task-0.1"));
    assert!(!original.is_empty());
    assert!(original == files(&here.join("wit")), "copy wit/task-0.1 to host/sandbox/wit again");
}
