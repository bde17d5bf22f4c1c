//! `sandmill new`: a first task crate, or a first flow with its tasks, that work as they are.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::error::{CliError, Result};
use crate::exit_code;
use crate::output::{Results, Ui};

const MANIFEST: &str = include_str!("../templates/Cargo.toml.in");
const GITIGNORE: &str = include_str!("../templates/gitignore.in");
const TASK: &str = include_str!("../templates/task.rs.in");
const TASK_README: &str = include_str!("../templates/task-readme.md.in");
const FLOW_TASKS: &str = include_str!("../templates/flow.rs.in");
const FLOW: &str = include_str!("../templates/flow.toml.in");
const FLOW_README: &str = include_str!("../templates/flow-readme.md.in");

const EXAMPLES: &str = "\
Examples:
  sandmill new flow hello && sandmill run --build hello
  sandmill new task resize --path ./tasks/resize";

/// Writes a new task crate or flow.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NewArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a crate with one task and its test
    Task(ProjectArgs),
    /// Write a flow beside a crate with its tasks
    Flow(ProjectArgs),
}

#[derive(Debug, Args)]
struct ProjectArgs {
    /// The name: letters, digits, `-` and `_`.
    #[arg(value_parser = name)]
    name: String,
    /// Where to write it. By default a folder of that name, here.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Where the source of the crate `sandmill-guest` is, in place of the published one. A
    /// sandmill that was built from a source checkout takes the checkout's by itself.
    #[arg(long, value_name = "DIR")]
    sdk_path: Option<PathBuf>,
}

/// What was written, in JSON: `docs/schemas/new.json`.
#[derive(Serialize)]
struct NewJson {
    kind: &'static str,
    name: String,
    path: String,
    files: Vec<String>,
}

fn name(text: &str) -> Result<String, String> {
    let fits = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    // Cargo refuses these; better said before anything is written.
    let reserved =
        ["test", "core", "std", "alloc", "proc-macro", "build", "deps", "examples", "incremental"];
    if !fits {
        Err("a name starts with a letter and has letters, digits, `-` and `_`, at most 64"
            .to_owned())
    } else if reserved.contains(&text) {
        Err(format!("cargo does not take `{text}` for a name"))
    } else {
        Ok(text.to_owned())
    }
}

/// Writes the project.
pub(crate) fn new(args: &NewArgs, ui: &Ui) -> Result<u8> {
    let (kind, project) = match &args.what {
        What::Task(project) => ("task", project),
        What::Flow(project) => ("flow", project),
    };
    let folder = project.path.clone().unwrap_or_else(|| PathBuf::from(&project.name));
    let sdk = sdk(ui, project)?;
    let files: &[(&str, &str)] = match args.what {
        What::Task(_) => &[
            ("Cargo.toml", MANIFEST),
            ("src/lib.rs", TASK),
            ("README.md", TASK_README),
            (".gitignore", GITIGNORE),
        ],
        What::Flow(_) => &[
            ("flow.toml", FLOW),
            ("Cargo.toml", MANIFEST),
            ("src/lib.rs", FLOW_TASKS),
            ("README.md", FLOW_README),
            (".gitignore", GITIGNORE),
        ],
    };
    let taken: Vec<String> = files
        .iter()
        .map(|(file, _)| folder.join(file))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| format!("`{}` is there already", path.display()))
        .collect();
    if !taken.is_empty() {
        return Err(CliError::input(format!(
            "`{}` was not written: nothing is overwritten",
            folder.display()
        ))
        .details(taken)
        .hint("take another name, or another folder with --path"));
    }
    for (file, template) in files {
        let text = fill(template, &project.name, &sdk);
        write(&folder.join(file), &text)?;
    }
    if ui.is_json() {
        let files = files.iter().map(|(file, _)| (*file).to_owned()).collect();
        let (name, path) = (project.name.clone(), folder.display().to_string());
        Results::new(ui).json(&NewJson { kind, name, path, files })?;
        return Ok(exit_code::SUCCESS);
    }
    ui.step("Created", format_args!("{kind} `{}` in {}", project.name, folder.display()));
    match args.what {
        What::Flow(_) => ui.talk(format_args!("next: sandmill run --build {}", folder.display())),
        What::Task(_) => ui.talk(format_args!(
            "next: cd {} && cargo build --release --target wasm32-wasip2\n      \
             sandmill call target/wasm32-wasip2/release/{}.wasm greet -a name=Ada",
            folder.display(),
            module(&project.name)
        )),
    }
    Ok(exit_code::SUCCESS)
}

/// How the manifest names the SDK.
fn sdk(ui: &Ui, project: &ProjectArgs) -> Result<String> {
    let path = match &project.sdk_path {
        Some(path) => {
            if !is_sdk(path) {
                return Err(CliError::input(format!(
                    "`{}` is not the crate sandmill-guest",
                    path.display()
                ))
                .hint("--sdk-path names the folder `guest-sdk` of Sandmill's source"));
            }
            path.clone()
        }
        None => {
            let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk");
            if !is_sdk(&checkout) {
                return Ok("\"0.1\"".to_owned());
            }
            ui.talk(format_args!("sandmill-guest is taken from this source checkout"));
            checkout
        }
    };
    let path = path.canonicalize().map_err(|error| {
        CliError::infrastructure(format!("`{}` cannot be read", path.display())).detail(error)
    })?;
    // A JSON string is a TOML string too, whatever the path has in it.
    let quoted = serde_json::Value::from(path.display().to_string());
    Ok(format!("{{ path = {quoted} }}"))
}

fn is_sdk(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|manifest| {
        manifest.lines().any(|line| line.trim() == "name = \"sandmill-guest\"")
    })
}

/// The name that cargo gives the file of the component.
fn module(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

fn fill(template: &str, name: &str, sdk: &str) -> String {
    template
        .replace("{{name}}", name)
        .replace("{{package}}", &name.to_lowercase())
        .replace("{{module}}", &module(name))
        .replace("{{sdk}}", sdk)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let error = |error: std::io::Error| {
        CliError::infrastructure(format!("`{}` cannot be written", path.display())).detail(error)
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(error)?;
    }
    // `create_new`: also what came to be there a moment ago is not overwritten.
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(error)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        assert!(name("Word-count_2").is_ok());
        for wrong in ["", "2x", "a b", "a/b", "../x", "test", "ünder"] {
            assert!(name(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn no_placeholder_stays() {
        for template in [MANIFEST, GITIGNORE, TASK, TASK_README, FLOW_TASKS, FLOW, FLOW_README] {
            let text = fill(template, "My-Flow", "\"0.1\"");
            assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
        }
    }
}
