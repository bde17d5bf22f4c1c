//! `on_start` and `on_exit`: what is called around a flow.

use std::time::Duration;

use sandmill_core::LimitOverrides;

use super::argument;
use super::grants::{self, GrantSpec};
use super::limits;
use super::reader::{Node, Reader};
use crate::argument::{Argument, Located};
use crate::policy::DEFAULT_HOOK_TIMEOUT;

/// Most words of a hook's command.
pub const MAX_COMMAND_WORDS: usize = 1_024;

const KEYS: [&str; 6] = ["command", "call", "arguments", "timeout", "grants", "limits"];
const HINT: &str =
    "write { command = [\"notify\", \"it ended\"] } or { call = \"COMPONENT.TASK\" }";

/// What is called around a flow, as the file writes it.
#[derive(Debug, Clone)]
pub(crate) struct HookSpec {
    /// `on_start` or `on_exit`.
    pub(crate) name: &'static str,
    pub(crate) place: crate::fault::Place,
    pub(crate) action: HookActionSpec,
    pub(crate) timeout: Duration,
}

/// What a hook does.
#[derive(Debug, Clone)]
pub(crate) enum HookActionSpec {
    /// The program and its arguments.
    Command(Vec<String>),
    /// A task.
    Task(Box<HookTask>),
}

/// The task that a hook calls.
#[derive(Debug, Clone)]
pub(crate) struct HookTask {
    pub(crate) component: Located<String>,
    pub(crate) task: Located<String>,
    pub(crate) arguments: Vec<(Located<String>, Located<Argument>)>,
    pub(crate) limits: LimitOverrides,
    pub(crate) grants: GrantSpec,
}

/// Reads one hook. None when it does not fit; that was noted.
pub(super) fn read(reader: &mut Reader, name: &'static str, node: &Node<'_>) -> Option<HookSpec> {
    let of = format!("`{name}`");
    let table = reader.table(node, &of)?;
    reader.only(table, &KEYS, &of);
    let timeout = match table.get("timeout") {
        Some(node) => reader.time_limit(node, "`timeout`"),
        None => Some(DEFAULT_HOOK_TIMEOUT),
    };
    let action = match (table.get("command"), table.get("call")) {
        (Some(command), None) => {
            for key in ["arguments", "grants", "limits"] {
                if let Some((key, _)) = table.get_key_value(key) {
                    let what = format!("`{}` goes with `call`, not with `command`", key.get_ref());
                    reader.fault(&key.span(), what);
                }
            }
            command_words(reader, command).map(HookActionSpec::Command)
        }
        (None, Some(call)) => {
            let arguments = table.get("arguments").map(|node| argument::read(reader, node));
            let limits = table.get("limits").map(|node| limits::read(reader, node, "the limits"));
            let grants = table.get("grants").map(|node| grants::read(reader, node, "the grants"));
            let call = super::task::call(reader, call);
            call.map(|(component, task)| {
                HookActionSpec::Task(Box::new(HookTask {
                    component,
                    task,
                    arguments: arguments.unwrap_or_default(),
                    limits: limits.unwrap_or_default(),
                    grants: grants.unwrap_or_default(),
                }))
            })
        }
        _ => {
            let what = format!("{of} has either `command` or `call`");
            reader.hinted(&node.span(), what, HINT);
            None
        }
    };
    Some(HookSpec { name, place: node.span(), action: action?, timeout: timeout? })
}

fn command_words(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<String>> {
    let before = reader.faults.len();
    let words = reader.strings(node, "`command`");
    if reader.faults.len() > before {
        return None;
    }
    if words.first().is_none_or(|program| program.value.is_empty()) {
        reader.hinted(&node.span(), "the command is empty", HINT);
        return None;
    }
    if words.len() > MAX_COMMAND_WORDS {
        let what = format!("a command has at most {MAX_COMMAND_WORDS} words, not {}", words.len());
        reader.fault(&node.span(), what);
        return None;
    }
    if let Some(word) = words.iter().find(|word| word.value.contains('\0')) {
        reader.fault(&word.place, "a word of a command cannot have the character '\\0'");
        return None;
    }
    Some(words.into_iter().map(|word| word.value).collect())
}
