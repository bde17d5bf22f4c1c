//! Asks a component for its tasks, and checks the answer: it is a guest's word like any other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{CallOptions, CancelToken, Events, Limits, TaskDescriptor};
use sandmill_wire::{Digest, End, EndKind, RunId, Value};

use crate::bindings::sandmill::task::types;
use crate::host::{RunIdentity, State};
use crate::stop::StopRule;

/// Tasks of one component.
pub const MAX_TASKS: usize = 1_000;
/// Bytes of a task's documentation.
pub const MAX_DOC_BYTES: usize = 64 << 10;
/// Bytes of one JSON Schema.
pub const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Wall-clock time that a component has to describe itself.
pub const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Memory that a component has to describe itself, most of it never touched: it has to hold the
/// component's own data, however large the limits of its runs are set.
const DESCRIBE_MEMORY: u64 = 1 << 30;
/// Elements of all its tables meanwhile: they count as memory too.
const DESCRIBE_TABLE_ELEMENTS: u64 = 10_000_000;
/// Bytes of all descriptions together.
const DESCRIBE_OUTPUT: u64 = 4 << 20;
/// Handles that a component may hold meanwhile.
const DESCRIBE_HANDLES: u32 = 64;
/// Faults that are told at once.
const MAX_FAULTS: usize = 10;

/// The state of an instance that is asked for its tasks: nothing is granted.
pub(crate) fn state(component: Digest, max_memory: u64) -> State {
    let limits = Limits {
        memory: DESCRIBE_MEMORY.min(max_memory),
        table_elements: DESCRIBE_TABLE_ELEMENTS,
        timeout: DESCRIBE_TIMEOUT,
        output: DESCRIBE_OUTPUT,
        logs: 0,
        handles: DESCRIBE_HANDLES,
        ..Limits::default()
    };
    let stop = StopRule::new(Instant::now(), limits.timeout, CancelToken::new(), Duration::ZERO);
    let identity = RunIdentity {
        run: RunId::new(),
        attempt: 1,
        map_index: None,
        component,
        task: Arc::from(""),
        arguments: Value::nil(),
        options: Arc::new(CallOptions { limits, ..CallOptions::default() }),
        events: Events::default(),
    };
    State::new(identity, stop)
}

/// The refusal of a component that could not say what its tasks are.
pub(crate) fn refusal(end: End) -> End {
    match end.kind {
        EndKind::HostError => end,
        kind => End {
            kind: EndKind::Refused,
            message: format!("the component cannot describe its tasks: {kind}: {}", end.message),
            backtrace: end.backtrace,
        },
    }
}

/// Checks what a component says of its tasks.
///
/// # Errors
/// A refusal that names every fault, up to ten.
pub(crate) fn check(tasks: Vec<types::TaskDescriptor>) -> Result<Vec<TaskDescriptor>, End> {
    let mut faults = Vec::new();
    if tasks.len() > MAX_TASKS {
        faults.push(format!("it has {} tasks, the limit is {MAX_TASKS}", tasks.len()));
    }
    let mut names = HashSet::new();
    for task in &tasks {
        if faults.len() >= MAX_FAULTS {
            break;
        }
        let name = task.name.escape_debug().to_string();
        let name = crate::context::cut(&name, 200);
        if !is_name(&task.name) {
            faults.push(format!(
                "`{name}` is not a name: it takes 1 to 128 of a-z, 0-9, `.`, `_`, `-`, and begins \
                 with a letter or a digit"
            ));
        } else if !names.insert(&*task.name) {
            faults.push(format!("`{name}` is described twice"));
        }
        if let Some(doc) = &task.doc
            && doc.len() > MAX_DOC_BYTES
        {
            let bytes = doc.len();
            faults.push(format!(
                "the documentation of `{name}` has {bytes} bytes, the limit is {MAX_DOC_BYTES}"
            ));
        }
        for (what, schema) in [("parameters", &task.parameters), ("result", &task.result)] {
            if let Err(fault) = check_schema(schema) {
                faults.push(format!("the schema of the {what} of `{name}` {fault}"));
            }
        }
    }
    if !faults.is_empty() {
        let message = format!("the component describes its tasks wrongly: {}", faults.join("; "));
        return Err(End::new(EndKind::Refused, message));
    }
    let known = tasks.into_iter().map(|task| TaskDescriptor {
        name: task.name,
        doc: task.doc,
        parameters: task.parameters,
        result: task.result,
    });
    Ok(known.collect())
}

/// Checks what a component says of which of its tasks are flows.
///
/// # Errors
/// A refusal that names every fault, up to ten.
pub(crate) fn check_flows(
    names: Vec<String>,
    tasks: &[TaskDescriptor],
) -> Result<Vec<String>, End> {
    let known: HashSet<&str> = tasks.iter().map(|task| &*task.name).collect();
    let mut seen = HashSet::new();
    let mut faults = Vec::new();
    for name in &names {
        if faults.len() >= MAX_FAULTS {
            break;
        }
        let shown = name.escape_debug().to_string();
        let shown = crate::context::cut(&shown, 200);
        if !known.contains(&**name) {
            faults.push(format!("`{shown}` is none of its tasks"));
        } else if !seen.insert(&**name) {
            faults.push(format!("`{shown}` is named twice"));
        }
    }
    if faults.is_empty() {
        return Ok(names);
    }
    let message = format!("the component names its flows wrongly: {}", faults.join("; "));
    Err(End::new(EndKind::Refused, message))
}

/// Whether this is the name of a task or of a failure's kind.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=128).contains(&name.len())
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().all(|byte| is_plain(byte) || b"._-".contains(&byte))
}

fn check_schema(schema: &str) -> Result<(), String> {
    if schema.len() > MAX_SCHEMA_BYTES {
        return Err(format!("has {} bytes, the limit is {MAX_SCHEMA_BYTES}", schema.len()));
    }
    match serde_json::from_str::<serde_json::Value>(schema) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(()),
        Ok(_) => Err("is neither a JSON object nor a boolean".to_owned()),
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, parameters: &str) -> types::TaskDescriptor {
        types::TaskDescriptor {
            name: name.to_owned(),
            doc: None,
            parameters: parameters.to_owned(),
            result: "true".to_owned(),
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let good = check(vec![task("a-b.c_9", "{}"), task("0", "false")]).unwrap();
        assert_eq!(good.len(), 2);
        let tasks =
            vec![task("a", "{}"), task("a", "{"), task("\u{202e}evil", "3"), task("", "{}")];
        let message = check(tasks).unwrap_err().message;
        for fault in ["`a` is described twice", "`a` is not JSON", "\\u{202e}", "neither", "``"] {
            assert!(message.contains(fault), "{fault} is not in {message}");
        }
    }

    #[test]
    fn there_is_a_limit_to_everything() {
        let many = (0..=MAX_TASKS).map(|n| task(&format!("t{n}"), "{}")).collect();
        assert!(check(many).unwrap_err().message.contains("1001 tasks"));
        let long = check(vec![task(&"a".repeat(129), "{}")]).unwrap_err();
        assert!(long.message.contains("1 to 128") && long.message.len() < 1000);
        let deep = "[".repeat(100_000);
        assert!(check(vec![task("a", &deep)]).is_err());
        let mut documented = task("a", "{}");
        documented.doc = Some("x".repeat(MAX_DOC_BYTES + 1));
        assert!(check(vec![documented]).is_err());
    }

    #[test]
    fn flows_are_among_the_tasks_and_named_once() {
        let tasks = check(vec![task("a", "{}"), task("b", "{}")]).unwrap();
        let names = |names: &[&str]| {
            check_flows(names.iter().map(|&name| name.to_owned()).collect(), &tasks)
        };
        assert_eq!(names(&["b"]).unwrap(), ["b"]);
        let message = names(&["a", "a", "\u{202e}"]).unwrap_err().message;
        assert!(message.contains("`a` is named twice"), "{message}");
        assert!(message.contains("`\\u{202e}` is none of its tasks"), "{message}");
        assert!(names(&["x"; 1_000]).unwrap_err().message.len() < 1_000);
    }
}
