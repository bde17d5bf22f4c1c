//! That nothing was lost grossly: what `sandmill-bench --check` says. It measures, so it is run by
//! itself and only where that is asked for, as CI does.

use std::process::Command;

#[test]
#[ignore = "it measures: to be run by itself, with `-- --ignored`"]
fn nothing_is_lost_grossly() {
    let out = concat!(env!("CARGO_TARGET_TMPDIR"), "/gross-loss");
    let bench = Command::new(env!("CARGO_BIN_EXE_sandmill-bench"))
        .args(["--check", "--out", out])
        .status()
        .expect("it can be started");
    assert!(bench.success(), "{bench}");
}
