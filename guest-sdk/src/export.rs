//! The component's exports: a table of tasks, and `runner.describe` and `runner.run` over it.

use crate::descriptor::TaskDescriptor;
use crate::failure::Failure;

/// One task of a component.
#[derive(Clone, Copy)]
pub struct Entry {
    name: &'static str,
    describe: fn() -> TaskDescriptor,
    run: fn(&[u8]) -> Result<Vec<u8>, Failure>,
    is_flow: bool,
}

impl Entry {
    /// A task by what the macro wrote for it.
    pub const fn new(
        name: &'static str,
        describe: fn() -> TaskDescriptor,
        run: fn(&[u8]) -> Result<Vec<u8>, Failure>,
    ) -> Self {
        Self { name, describe, run, is_flow: false }
    }

    /// The same, as a flow.
    pub const fn flow(self) -> Self {
        Self { is_flow: true, ..self }
    }

    /// The name by which a host calls it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What a host may know before it runs it.
    pub fn describe(&self) -> TaskDescriptor {
        (self.describe)()
    }

    /// Runs it: one MessagePack map in, one MessagePack value out.
    ///
    /// # Errors
    /// What the function returned, or arguments or a result that do not fit.
    pub fn run(&self, arguments: &[u8]) -> Result<Vec<u8>, Failure> {
        (self.run)(arguments)
    }
}

/// What `export!` implements for the component it makes.
pub trait Component {
    /// Its tasks, in the order of `export!`.
    const TASKS: &'static [Entry];
}

/// Describes every task.
pub fn describe(tasks: &[Entry]) -> Vec<TaskDescriptor> {
    tasks.iter().map(Entry::describe).collect()
}

/// The names of those that are flows.
pub fn flows(tasks: &[Entry]) -> Vec<String> {
    tasks.iter().filter(|task| task.is_flow).map(|task| task.name.to_owned()).collect()
}

/// Runs one task by name.
///
/// # Errors
/// There is no such task, or what the task returned.
pub fn run(tasks: &[Entry], name: &str, arguments: &[u8]) -> Result<Vec<u8>, Failure> {
    match tasks.iter().find(|task| task.name == name) {
        Some(task) => task.run(arguments),
        None => {
            let known: Vec<_> = tasks.iter().map(|task| format!("`{}`", task.name)).collect();
            let known = known.join(", ");
            let message = format!("this component has no task `{name}`, only {known}");
            Err(Failure::new(Failure::UNKNOWN_TASK, message))
        }
    }
}

/// Stops the build when the task at `index` has the name of one before it.
pub const fn assert_new_name(tasks: &[Entry], index: usize) {
    let name = tasks[index].name.as_bytes();
    let mut earlier = 0;
    while earlier < index {
        assert!(
            !equal(name, tasks[earlier].name.as_bytes()),
            "an earlier task in this `export!` has the same name: \
             rename one with `#[task(name = \"…\")]`"
        );
        earlier += 1;
    }
}

/// Stops the build when `export!` was not told that the task at `index` is a flow. It has to know:
/// only a component with flows says so to its host.
pub const fn assert_no_flow(tasks: &[Entry], index: usize) {
    assert!(
        !tasks[index].is_flow,
        "this is a flow, and `export!` has to be told: write `flow` before its name, \
         `export!(count, flow census)`"
    );
}

/// `==` on slices is not for constants yet.
const fn equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// On a target without components there is nothing to export; the tasks stay plain functions.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __sandmill_export_component {
    ($($component:tt)*) => {};
}
#[cfg(not(target_family = "wasm"))]
pub use {
    __sandmill_export_component as export_component, __sandmill_export_component as export_flows,
};

#[cfg(target_family = "wasm")]
mod guest {
    use std::io::Write as _;

    use super::{Component, describe, flows, run};
    use crate::bindings::exports::sandmill::task::runner::{Failure, Guest, TaskDescriptor};
    use crate::flow_bindings::exports::sandmill::task::flows::Guest as Flows;

    impl<C: Component> Flows for C {
        fn names() -> Vec<String> {
            flows(C::TASKS)
        }
    }

    impl<C: Component> Guest for C {
        fn describe() -> Vec<TaskDescriptor> {
            describe(C::TASKS)
                .into_iter()
                .map(|task| TaskDescriptor {
                    name: task.name,
                    doc: task.doc,
                    parameters: task.parameters,
                    result: task.result,
                })
                .collect()
        }

        fn run(task: String, arguments: Vec<u8>) -> Result<Vec<u8>, Failure> {
            let result = run(C::TASKS, &task, &arguments);
            // No process ends here, so nothing else would send off what was printed without a
            // line break. Where it cannot be written, nobody could be told.
            let _ = std::io::stdout().flush();
            result.map_err(|failure| {
                let (kind, message, retriable, details) = failure.into_parts();
                Failure { kind, message, retriable, details }
            })
        }
    }
}
