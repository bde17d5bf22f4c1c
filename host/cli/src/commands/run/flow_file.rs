//! The flow file that `run` is given: found, built where that is asked for, and checked as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill::core::units::format_duration;
use sandmill::flow_file::{
    Build, ComponentSpec, FlowFile, Given, ParameterSpec, ParameterType, Plan,
};
use sandmill::value::Bounds;
use sandmill::{Host, Limits, Value};

use super::args::RunArgs;
use crate::arguments::Assignment;
use crate::build::{Toolchain, build_crate, run_command};
use crate::config::Config;
use crate::error::{CliError, Result};
use crate::output::Ui;
use crate::schema::Takes;
use crate::text::counted;

/// The name of a flow file in its folder.
const FLOW_FILE: &str = "flow.toml";

/// The flow file that is meant.
pub(super) fn flow_path(flow: &Path) -> Result<PathBuf> {
    if flow.is_file() && flow.extension().is_some_and(|end| end == "wasm") {
        let shown = flow.display();
        return Err(CliError::input(format!("`{shown}` is a component, not a flow file")).hint(
            format!("name the flow in it: {shown}#FLOW; `sandmill inspect {shown}` lists them"),
        ));
    }
    let path = if flow.is_dir() { flow.join(FLOW_FILE) } else { flow.to_owned() };
    if path.is_file() {
        return Ok(path);
    }
    let error = CliError::input(format!("there is no flow file `{}`", path.display()));
    Err(error.hint(
        "name a flow.toml or a folder that holds one; `sandmill new flow NAME` writes a first one",
    ))
}

pub(super) fn read(path: &Path) -> Result<String> {
    let error = |what: String| {
        CliError::input(format!("the flow file `{}` cannot be read", path.display())).detail(what)
    };
    let most = sandmill::flow_file::MAX_FILE_BYTES as u64;
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > most => {
            Err(error(format!("it has {} bytes; a flow file has at most {most}", metadata.len())))
        }
        Ok(_) => std::fs::read_to_string(path).map_err(|why| error(why.to_string())),
        Err(why) => Err(error(why.to_string())),
    }
}

/// Builds what the flow says how to build.
pub(super) fn build(ui: &Ui, file: &FlowFile) -> Result<()> {
    let started = Instant::now();
    let mut changed = Vec::new();
    for component in file.components() {
        let Some(build) = &component.build else { continue };
        let (name, path) = (&component.name.value, &component.path.value);
        match &build.value {
            Build::Crate(directory) => {
                let toolchain = Toolchain::find(directory);
                if build_crate(ui, &toolchain, name, directory, path)? {
                    changed.push(path.display().to_string());
                }
            }
            Build::Command { command, directory } => {
                run_command(ui, name, command, directory, path)?
            }
        }
    }
    if !changed.is_empty() && started.elapsed() > Duration::from_millis(1) {
        let took = format_duration(started.elapsed());
        ui.step("Built", format_args!("{} in {took}", changed.join(", ")));
    }
    Ok(())
}

/// Checks the file and what it was given as a whole: all faults at once.
pub(super) fn check(
    args: &RunArgs,
    file: &FlowFile,
    host: &Host,
    config: &Config,
) -> Result<Arc<Plan>> {
    let (parameters, faults) = parameters(&args.parameters, file.parameters());
    let base = config.limits.over(&Limits::default());
    let given = Given::new().parameters(parameters).limits(base);
    let load = |spec: &ComponentSpec| {
        let path = &spec.path.value;
        if !path.is_file() {
            return Err(missing(args.build, spec, path));
        }
        let component = sandmill::load_component(path).map_err(|error| error.to_string())?;
        let info = host.inspect(&component).map_err(|error| error.to_string())?;
        Ok((component, info))
    };
    let checked = file.check(&load, &given);
    let (found, count) = match (checked, faults.is_empty()) {
        (Ok(plan), true) => return Ok(plan),
        (Ok(_), false) => (String::new(), 0),
        (Err(found), _) => (found.to_string(), found.len()),
    };
    let count = count + faults.len();
    let mut error = CliError::input(format!(
        "the flow `{}` has {}; nothing was run",
        file.path().display(),
        counted(count as u64, "fault")
    ));
    error.details.extend((!found.is_empty()).then_some(found));
    error.details.extend(faults.into_iter().map(|fault| format!("error: {fault}")));
    let unbuilt =
        file.components().iter().any(|spec| spec.build.is_some() && !spec.path.value.is_file());
    if unbuilt && !args.build {
        error = error.hint("the flow says how to build its components: add --build");
    }
    Err(error)
}

fn missing(build: bool, spec: &ComponentSpec, path: &Path) -> String {
    let file = format!("there is no file `{}`", path.display());
    match (&spec.build, build) {
        (Some(_), false) => format!("{file}; build it with --build"),
        (Some(_), true) => format!("{file}; it was not built, because of the other faults"),
        (None, _) => file,
    }
}

/// The parameters that were given, and what is wrong with them.
pub(crate) fn parameters(
    given: &[Assignment],
    specs: &[ParameterSpec],
) -> (BTreeMap<String, Value>, Vec<String>) {
    let (mut values, mut faults) = (BTreeMap::new(), Vec::new());
    for assignment in given {
        let name = &assignment.name;
        let spec = specs.iter().find(|spec| spec.name.value == *name);
        let kind = spec.map_or(ParameterType::Any, |spec| spec.kind);
        let value = match assignment.text() {
            Some(text) => kind.read(text),
            None => assignment.value(takes(kind), &Bounds::DEFAULT),
        };
        match value {
            Ok(_) if values.contains_key(name) => {
                faults.push(format!("parameter `{name}` is given twice"));
            }
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(fault) => faults.push(format!("parameter `{name}`: {fault}")),
        }
    }
    (values, faults)
}

/// How a file is read that is given for a parameter.
const fn takes(kind: ParameterType) -> Takes {
    match kind {
        ParameterType::String | ParameterType::Path => Takes::Text,
        ParameterType::Bytes => Takes::Bytes,
        ParameterType::Any => Takes::Anything,
        _ => Takes::Json,
    }
}
