//! What a component says of a task that is called, and whether the arguments that it is given are
//! those that it takes.

use sandmill_core::TaskDescriptor;

use super::edges::Edge;
use super::names::Names;
use super::schema::{Schema, Step};
use crate::argument::{Argument, Located};
use crate::fault::Place;
use crate::plan::Input;

/// A task that is called.
pub(super) struct Called {
    /// Its name for people: `COMPONENT.TASK`.
    call: String,
    /// The schema of its arguments, where there is one.
    parameters: Option<Schema>,
}

impl Called {
    /// Looks a task up, and notes it when there is none.
    pub(super) fn new(
        names: &mut Names<'_>,
        component: &Located<String>,
        task: &Located<String>,
    ) -> Self {
        let call = format!("{}.{}", component.value, task.value);
        let Some(loaded) = names.component(component) else {
            return Self { call, parameters: None };
        };
        let found = loaded.info.task(&task.value);
        if found.is_none() {
            let what = format!("component `{}` has no task `{}`", component.value, task.value);
            let fault = names.file.source.fault(&task.place, what);
            let known = loaded.info.tasks.iter().map(|task| task.name.as_str());
            names.faults.push(fault.suggest(&task.value, known));
        }
        Self { call, parameters: found.and_then(|task| Schema::read(&task.parameters)) }
    }

    /// Whether the task says by itself that it has this parameter.
    pub(super) fn has(&self, parameter: &str) -> bool {
        self.parameters.as_ref().is_some_and(|schema| schema.properties().contains(&parameter))
    }

    /// Checks one argument. `task` is the flow's task that takes it.
    pub(super) fn argument(
        &self,
        names: &mut Names<'_>,
        task: Option<usize>,
        name: &Located<String>,
        argument: &Located<Argument>,
    ) -> Option<Input> {
        let wanted = match self.parameters.as_ref().map(|schema| schema.property(&name.value)) {
            Some(Step::Found(wanted)) => Some(wanted),
            Some(Step::Nothing(_)) => {
                let what = format!("`{}` takes no argument `{}`", self.call, name.value);
                let fault = names.file.source.fault(&name.place, what);
                let known = self.parameters.as_ref().map(Schema::properties).unwrap_or_default();
                names.faults.push(fault.suggest(&name.value, known));
                None
            }
            Some(Step::Open) | None => None,
        };
        let what = format!("argument `{}` of `{}`", name.value, self.call);
        let edge = Edge { task, what, wanted, place: argument.place.clone() };
        edge.input(names, &argument.value)
    }

    /// Notes every argument that it needs and is not given.
    pub(super) fn requires(
        &self,
        names: &mut Names<'_>,
        given: &[(Located<String>, Located<Argument>)],
        place: &Place,
        hint: impl Fn(&str) -> String,
    ) {
        let Some(schema) = &self.parameters else { return };
        for required in schema.required() {
            if given.iter().all(|(name, _)| name.value != required) {
                let what = format!("`{}` needs the argument `{required}`", self.call);
                let fault = names.file.source.fault(place, what);
                names.missing(fault.hint(hint(required)));
            }
        }
    }
}

/// What a component says of a task; nothing is noted when there is no such task.
pub(super) fn descriptor(
    names: &mut Names<'_>,
    component: &Located<String>,
    task: &Located<String>,
) -> Option<TaskDescriptor> {
    let loaded = names.components.get(component.value.as_str())?.as_ref()?;
    loaded.info.task(&task.value).cloned()
}
