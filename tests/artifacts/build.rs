//! Lists the guests of this repository, so that the macros can name each of them.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the guests are, from this crate, and the macro that names those there.
const PLACES: [(&str, &str, &str); 2] =
    [("../../examples", "foreach_example", "EXAMPLES"), ("../guests", "foreach_guest", "GUESTS")];

fn main() {
    // A new guest is a new entry here. Watching the folders themselves would build the tests anew
    // whenever an example is built or run in its place.
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    let mut code = String::new();
    for (place, macro_name, constant) in PLACES {
        let names = crates_in(Path::new(place));
        for name in &names {
            println!("cargo::rerun-if-changed={place}/{name}/Cargo.toml");
        }
        let calls: String = names.iter().map(|name| format!("$test!({name}); ")).collect();
        write!(
            code,
            "/// Calls the macro `$test` with the name of each crate in `{place}`.\n\
             #[macro_export]\n\
             macro_rules! {macro_name} {{ ($test:ident) => {{ {calls} }}; }}\n\
             /// The names of the crates in `{place}`.\n\
             pub const {constant}: &[&str] = &{names:?};\n"
        )
        .expect("writing to a string cannot fail");
    }
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(output.join("guests.rs"), code).expect("the output directory can be written to");
}

/// The folders that hold a `Cargo.toml`, sorted; each is named like its package.
fn crates_in(place: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(place)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", place.display()))
        .map(|entry| entry.expect("a listing can be read").path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .map(|path| path.file_name().expect("it came from a listing").to_string_lossy().into())
        .collect();
    names.sort();
    names
}
