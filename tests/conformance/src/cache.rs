//! Compiled code, which all hosts of the tests and their workers share and keep from run to run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use sandmill::{Component, ExecutorKind, Host, load_component};
use sandmill_test_artifacts as artifacts;

/// Where it is.
pub(crate) fn cache_directory() -> PathBuf {
    artifacts::scratch().join("conformance-cache")
}

/// A guest's component, compiled before anybody has it: else every host that comes to it first
/// would compile it for itself, all at the same time.
///
/// # Panics
/// When it cannot be built, read or compiled.
pub(crate) fn guest(name: &str) -> Component {
    type Guests = BTreeMap<String, Arc<OnceLock<Component>>>;
    static GUESTS: Mutex<Guests> = Mutex::new(BTreeMap::new());
    static COMPILER: OnceLock<Host> = OnceLock::new();
    let guest = Arc::clone(GUESTS.lock().entry(name.to_owned()).or_default());
    let compiled = guest.get_or_init(|| {
        let host = COMPILER.get_or_init(|| {
            let host = Host::builder().executor(ExecutorKind::Inline).cache_dir(cache_directory());
            host.build().expect("a host opens")
        });
        let component = load_component(artifacts::guest(name)).expect("a guest can be read");
        host.inspect(&component).expect("a guest can be run");
        component
    });
    compiled.clone()
}
