//! What became of a flow's hooks. They are told apart from its stages: what becomes of `on_exit`
//! changes nothing about how the flow ended.

use std::sync::Arc;

use sandmill::flow_file::{FlowReport, HOOK_START, HookReport};
use sandmill::{RunId, State, StateType};

use super::board::Board;
use crate::output::failure::short;
use crate::output::table::Table;
use crate::output::ui::{bold_green, red, yellow};
use crate::text::state_words;

/// Lines of a hook's words that are shown.
const SHOWN_LINES: usize = 4;

/// A hook that was called, and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct HookEnd {
    /// `on_start` or `on_exit`.
    pub(crate) name: Arc<str>,
    /// Its run.
    pub(crate) run: RunId,
    /// How it ended.
    pub(crate) state: State,
}

impl HookEnd {
    /// Whether it did what it was called for.
    pub(crate) fn is_good(&self) -> bool {
        self.state.kind == StateType::Completed
    }

    /// How it ended, in words: the first line, then the others.
    pub(crate) fn words(&self) -> (String, Vec<String>) {
        let message = self.state.message.as_deref().unwrap_or_default();
        let mut lines = message.lines().filter(|line| !line.trim().is_empty()).map(short);
        let name = short(&state_words(&self.state.name));
        let first = lines.next().map_or(name.clone(), |first| format!("{name}: {first}"));
        (first, lines.take(SHOWN_LINES - 1).collect())
    }
}

/// Whether the stage of this number is that of a hook.
pub(crate) const fn is_hook(stage: u32) -> bool {
    stage >= HOOK_START
}

impl Board {
    /// Takes what the flow's report says of its hooks. Events do not tell a hook that is a task from
    /// the tasks: its stage is one that the report does not have.
    pub(super) fn follow_hooks(&mut self, report: &FlowReport) {
        let end = |hook: &HookReport| HookEnd {
            name: hook.hook.into(),
            run: hook.run,
            state: hook.state.clone(),
        };
        self.tell_hooks(report.hooks.iter().map(end).collect());
        for hook in &report.hooks {
            if report.stages.iter().all(|stage| &*stage.name != hook.hook) {
                self.set_apart(hook.hook);
            }
        }
    }
}

/// A line for each hook, with more of them for what it said.
pub(super) fn hook_lines(hooks: &[HookEnd]) -> Vec<String> {
    let mut table = Table::default();
    for hook in hooks {
        let (first, more) = hook.words();
        let style = match hook.state.kind {
            StateType::Completed => bold_green(),
            StateType::Cancelled => yellow(),
            _ => red(),
        };
        table.row([format!("hook {}", hook.name), style.apply_to(first).to_string()]);
        more.into_iter().for_each(|line| table.row([String::new(), line]));
    }
    table.lines("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandmill::{Failure, Outcome};

    #[test]
    fn a_hook_has_its_words_and_no_more_than_some() {
        let outcome = Outcome::Failure(Failure::new("odd", "one\n\n  two\n3\n4\n5"));
        let state = State::from_outcome(&outcome, Default::default());
        let hook = HookEnd { name: "on_exit".into(), run: RunId::new(), state };
        let lines: Vec<String> = hook_lines(&[hook])
            .iter()
            .map(|line| console::strip_ansi_codes(line).into_owned())
            .collect();
        assert_eq!(lines[0], "  hook on_exit  failed: odd: one");
        assert_eq!(lines[1].trim(), "two");
        assert_eq!(lines.len(), SHOWN_LINES);
    }
}
