//! Holds `docs/parity.md` to the tests that there are: what it names exists, and what the table
//! marks as another way is listed with its reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use sandmill_test_artifacts::workspace;
use sandmill_test_prefect::Scenario;

/// What the names of tests begin with in the page, and the folder they are in.
const PLACES: [(&str, &str); 13] = [
    ("cli", "host/cli"),
    ("conformance", "tests/conformance"),
    ("core", "host/core"),
    ("e2e", "tests/e2e"),
    ("executors", "host/executors"),
    ("flow", "host/flow"),
    ("hosts", "tests/hosts"),
    ("kills", "tests/kills"),
    ("sandbox", "host/sandbox"),
    ("sandmill", "host/sandmill"),
    ("scheduler", "host/scheduler"),
    ("store", "host/store"),
    ("wire", "host/wire"),
];
/// What they begin with that are in this table.
const HERE: &str = "prefect";
const DIFFERENCES: &str = "## Deliberate differences";
/// Fewer scenarios than this are no table.
const LEAST: usize = 100;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("parity::the_tests_it_names_are_there", the_tests_it_names_are_there),
        Trial::test("parity::differences_are_listed", differences_are_listed),
        Trial::test("parity::scenarios_name_their_sources", scenarios_name_their_sources),
    ]
}

/// Everything in the table, by the name it has in the page.
fn table() -> Vec<(String, Scenario)> {
    let named =
        |group: &str, scenario: Scenario| (format!("{HERE}::{group}::{}", scenario.name), scenario);
    let groups = super::table().into_iter();
    groups
        .flat_map(|(group, scenarios)| {
            scenarios.into_iter().map(move |scenario| named(group, scenario))
        })
        .collect()
}

fn page() -> String {
    fs::read_to_string(workspace().join("docs/parity.md")).expect("the page can be read")
}

/// What stands between backquotes and has a path's form.
fn paths(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let path = |word: &&str| word.contains("::") && !word.contains([' ', '(', '{', '<']);
    quoted.filter(path).collect()
}

fn the_tests_it_names_are_there() -> Result<(), Failed> {
    let page = page();
    let table: BTreeSet<String> = table().into_iter().map(|(name, _)| name).collect();
    let mut texts = PLACES.map(|(place, folder)| (place, folder, None::<String>));
    let mut missing = Vec::new();
    let mut found = 0;
    for path in paths(&page) {
        let (place, name) = path.split_once("::").expect("it has the form of a path");
        let known = if place == HERE {
            table.contains(path)
        } else if let Some((_, folder, text)) = texts.iter_mut().find(|(of, ..)| *of == place) {
            let name = name.rsplit("::").next().unwrap_or(name);
            let text = text.get_or_insert_with(|| sources(&workspace().join(folder)));
            // A function, or a row of a table.
            text.contains(&format!("fn {name}(")) || text.contains(&format!("\"{name}\""))
        } else {
            continue;
        };
        found += 1;
        if !known {
            missing.push(path);
        }
    }
    assert!(found > LEAST, "the page names {found} tests");
    if missing.is_empty() { Ok(()) } else { Err(format!("there are no {missing:#?}").into()) }
}

fn differences_are_listed() -> Result<(), Failed> {
    let page = page();
    let (_, differences) = page.split_once(DIFFERENCES).ok_or("there is no such section")?;
    let listed: BTreeSet<String> = paths(differences)
        .into_iter()
        .filter(|path| path.starts_with(&format!("{HERE}::")))
        .map(str::to_owned)
        .collect();
    let marked: BTreeSet<String> = table()
        .into_iter()
        .filter(|(_, scenario)| scenario.differs)
        .map(|(name, _)| name)
        .collect();
    let (unlisted, unmarked): (Vec<_>, Vec<_>) =
        (marked.difference(&listed).collect(), listed.difference(&marked).collect());
    if unlisted.is_empty() && unmarked.is_empty() {
        return Ok(());
    }
    Err(format!("not listed: {unlisted:#?}\nlisted, and not marked: {unmarked:#?}").into())
}

fn scenarios_name_their_sources() -> Result<(), Failed> {
    let table = table();
    assert!(table.len() >= LEAST, "{} scenarios", table.len());
    let names: BTreeSet<&str> = table.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), table.len(), "no name is there twice");
    for (name, scenario) in &table {
        let known = ["src/prefect/", "tests/", "docs/", "github.com/PrefectHQ/prefect/"];
        let known = known.iter().any(|place| scenario.source.starts_with(place));
        if !known || !scenario.source.contains(": ") && !scenario.source.contains(" (") {
            return Err(format!("{name} does not say where Prefect says it").into());
        }
    }
    Ok(())
}

/// All Rust sources below a folder, as one text.
fn sources(folder: &Path) -> String {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("it can be read on").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("a source can be read"));
            }
        }
    }
    text
}
