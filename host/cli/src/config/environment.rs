//! Configuration from the environment: `SANDMILL_SECTION__KEY`. A variable that begins with
//! `SANDMILL_` and sets nothing is an error, so that a slip of the pen does not pass unseen.

use std::ffi::OsString;

use super::key::{Key, Setting, keys};
use crate::text::nearest;

/// What is told in variables, and sets nothing: the facts of a flow, which its hooks get (a hook may
/// well call `sandmill`), and where a test wants the process killed.
const FACTS: &[&str] = &[
    "SANDMILL_RUN_ID",
    "SANDMILL_FLOW",
    "SANDMILL_STATE",
    "SANDMILL_STATE_NAME",
    "SANDMILL_MESSAGE",
    sandmill::store::failpoint::VARIABLE,
];

/// What variables begin with that the tests of Sandmill itself read.
const OF_TESTS: &str = "SANDMILL_TEST_";

/// Settings with the names of their variables, and all that is wrong.
#[derive(Debug, Default)]
pub(crate) struct EnvironmentContent {
    pub(crate) settings: Vec<(&'static Key, Setting, String)>,
    pub(crate) faults: Vec<String>,
}

/// Reads the variables that are meant for Sandmill.
pub(crate) fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> EnvironmentContent {
    let mut content = EnvironmentContent::default();
    let mut meant: Vec<_> = variables
        .filter_map(|(name, value)| name.into_string().ok().map(|name| (name, value)))
        .filter(|(name, _)| name.starts_with("SANDMILL_") && !name.starts_with(OF_TESTS))
        .filter(|(name, _)| !FACTS.contains(&name.as_str()))
        .collect();
    meant.sort();
    for (name, value) in meant {
        match setting(&name, value) {
            Ok((key, setting)) => content.settings.push((key, setting, name)),
            Err(what) => content.faults.push(format!("environment variable {name}: {what}")),
        }
    }
    content
}

fn setting(name: &str, value: OsString) -> Result<(&'static Key, Setting), String> {
    let Some(key) = keys().find(|key| key.variable() == name) else {
        let names: Vec<String> = keys().map(Key::variable).collect();
        return Err(match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("it sets nothing; did you mean {near}?"),
            None => "it sets nothing; names are SANDMILL_SECTION__KEY, such as \
                     SANDMILL_LIMITS__TIMEOUT (docs/cli.md lists the keys)"
                .to_owned(),
        });
    };
    let value = value.into_string().map_err(|_| "the value is not UTF-8".to_owned())?;
    key.kind.read(&value).map(|setting| (key, setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_set_keys_and_unknown_ones_are_faults() {
        let variables = [
            ("SANDMILL_LIMITS__TIMEOUT", "3s"),
            ("SANDMILL_LIMITS__TIMOUT", "3s"),
            ("SANDMILL_DEBUG", "1"),
            ("SANDMILL_EXECUTOR__SLOTS", "many"),
            ("OTHER", "x"),
            ("SANDMILL_STATE_NAME", "TimedOut"),
            ("SANDMILL_TEST_NATS_SERVER", "nats-server"),
        ];
        let content = read(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        assert_eq!(content.settings.len(), 1);
        assert_eq!(content.settings[0].0.path, "limits.timeout");
        assert_eq!(content.faults.len(), 3, "{:#?}", content.faults);
        assert!(content.faults[2].contains("did you mean SANDMILL_LIMITS__TIMEOUT?"));
    }
}
