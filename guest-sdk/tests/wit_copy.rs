//! The package's copy of the contract is the contract. Outside of the repository, where there is
//! only the copy, there is nothing to compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| {
            let entry = entry.expect("the folder can be read to its end");
            let bytes = fs::read(entry.path()).expect("a WIT file can be read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect()
}

#[test]
fn the_copy_equals_the_contract() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = files(&package.join("wit"));
    assert!(copy.contains_key("world.wit"), "the package lost its WIT: {:?}", copy.keys());

    let contract = package.join("../wit/task-0.1");
    if package.join("../wit").exists() {
        assert!(
            files(&contract) == copy,
            "guest-sdk/wit differs from wit/task-0.1: copy the files over"
        );
    }
}
