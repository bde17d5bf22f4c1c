//! What this crate repeats of other files is what they say: the contract, and wasmtime's version.

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

#[test]
fn the_version_that_is_told_is_the_one_that_is_locked() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap();
    let sandbox = sandmill_sandbox::Sandbox::new(Default::default()).unwrap();
    let told = sandbox.diagnosis().wasmtime;
    let entry = format!("name = \"wasmtime\"\nversion = \"{told}\"\n");
    assert!(lock.contains(&entry), "Cargo.lock does not have wasmtime {told}");
}
