//! What a flow comes to: the tasks that its `result` names.

use super::names::Names;
use crate::argument::Located;
use crate::file::ResultSpec;
use crate::plan::{Results, Target};
use crate::policy::ErrorsMode;
use crate::reference::Reference;

/// Checks the references of the flow's `result`.
pub(super) fn check(names: &mut Names<'_>) -> Results {
    let Some(spec) = &names.file.header.result else { return Results::Last };
    let targets: Vec<Option<Target>> = spec.all().iter().map(|one| target(names, one)).collect();
    // Where one has a fault the plan is never made.
    let mut targets = targets.into_iter().flatten();
    match spec {
        ResultSpec::One(_) => targets.next().map_or(Results::Last, Results::One),
        ResultSpec::List(_) => Results::List(targets.collect()),
    }
}

fn target(names: &mut Names<'_>, one: &Located<(Reference, ErrorsMode)>) -> Option<Target> {
    let (reference, errors) = &one.value;
    let Some(task) = reference.task() else {
        let what = format!("`{reference}` is no task's result");
        names.hinted(&one.place, what, "write result = \"TASK.result\"");
        return None;
    };
    let node = names.task(task, &one.place)?;
    Some(Target::new(node, reference, *errors))
}
