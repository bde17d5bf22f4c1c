//! What is called around a flow: whether there is such a task, and whether its arguments fit.

use sandmill_core::{CallOptions, Grants, Limits};

use super::called::Called;
use super::grants;
use super::names::Names;
use crate::argument::{Argument, Operand};
use crate::file::{HookActionSpec, HookSpec, HookTask, directory};
use crate::plan::Input;
use crate::policy::{Hook, HookAction};

/// The parameter of a hook's task that gets the facts of the flow's run.
const FLOW: &str = "flow";

/// Checks one hook. None when it has none, or one with faults.
pub(super) fn check(
    names: &mut Names<'_>,
    spec: Option<&HookSpec>,
    flow_grants: &Grants,
    limits: &Limits,
) -> Option<Hook> {
    let spec = spec?;
    let action = match &spec.action {
        HookActionSpec::Command(argv) => HookAction::Command {
            argv: argv.clone(),
            directory: directory(names.file.source.path()),
        },
        HookActionSpec::Task(task) => action(names, spec, task, flow_grants, limits)?,
    };
    Some(Hook { action, timeout: spec.timeout })
}

fn action(
    names: &mut Names<'_>,
    spec: &HookSpec,
    task: &HookTask,
    flow_grants: &Grants,
    limits: &Limits,
) -> Option<HookAction> {
    let called = Called::new(names, &task.component, &task.task);
    let mut arguments = Vec::with_capacity(task.arguments.len());
    for (name, argument) in &task.arguments {
        let outside = match &argument.value {
            Argument::Same(Operand::Reference { reference, .. }) => reference.task().is_some(),
            Argument::Same(_) => false,
            Argument::Each(_) | Argument::EachOfEach(_) => true,
        };
        if outside {
            let what = format!("`{}` runs outside of the graph, and takes no results", spec.name);
            names.hinted(&argument.place, what, "take literals and parameters only");
            continue;
        }
        if let Some(Input::Known(value)) = called.argument(names, None, name, argument) {
            arguments.push((name.value.clone(), value));
        }
    }
    let given = task.arguments.iter().any(|(name, _)| name.value == FLOW);
    let takes_flow = !given && called.has(FLOW);
    let hint = |required: &str| format!("add arguments.{required} to `{}`", spec.name);
    let mut known = task.arguments.clone();
    if takes_flow {
        // It is there when the hook is called.
        let name = crate::argument::Located::new(FLOW.to_owned(), spec.place.clone());
        let value = Argument::Same(Operand::Unread);
        known.push((name, crate::argument::Located::new(value, spec.place.clone())));
    }
    called.requires(names, &known, &spec.place, hint);
    let own = grants::resolve(names, &task.grants);
    let component = names.components.get(task.component.value.as_str())?.as_ref()?;
    let mut within = task.limits.over(&names.file.limits.over(limits));
    // The hook's own time is the limit, unless its limits say otherwise.
    within.timeout = task.limits.timeout.unwrap_or(spec.timeout);
    Some(HookAction::Task {
        component: component.component.clone(),
        task: task.task.value.as_str().into(),
        arguments,
        takes_flow,
        options: Box::new(CallOptions {
            name: Some(spec.name.into()),
            limits: within,
            grants: flow_grants.clone().and(&own),
            ..CallOptions::default()
        }),
    })
}
