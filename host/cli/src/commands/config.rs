//! `sandmill config`: the configuration in force, and what is wrong with it.

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::config::{Layers, Origin, Setting, keys};
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::flags::{ExecutorFlags, LimitFlags, LogFlags, Settings};
use crate::output::{Results, Table, Ui};
use crate::text::counted;

const EXAMPLES: &str = "\
Layers, first wins: flag, SANDMILL_SECTION__KEY, ./sandmill.toml, the user's file, default.

Examples:
  sandmill config show
  SANDMILL_LIMITS__TIMEOUT=10s sandmill config show --slots 2
  sandmill config check";

/// Shows or checks the configuration.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every key, its value, and where that comes from
    Show(Box<ShowArgs>),
    /// Check every layer and report all faults at once
    Check,
}

/// The flags of `run`, so that their effect can be seen.
#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    executor: ExecutorFlags,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    logs: LogFlags,
}

impl ConfigArgs {
    /// The flags that stand for settings.
    pub(crate) fn settings(&self) -> Settings {
        match &self.action {
            Action::Show(args) => {
                [args.executor.settings(), args.limits.settings(), args.logs.settings()].concat()
            }
            Action::Check => Settings::new(),
        }
    }
}

/// The configuration in JSON: `docs/schemas/config.json`.
#[derive(Serialize)]
struct ConfigJson {
    files: Vec<FileJson>,
    settings: Vec<SettingJson>,
}

#[derive(Serialize)]
struct FileJson {
    path: String,
    found: bool,
}

#[derive(Serialize)]
struct SettingJson {
    key: &'static str,
    /// As a file would have it, in its text form; none where it depends on the command.
    value: Option<String>,
    /// `flag`, `environment`, `file` or `default`.
    layer: &'static str,
    /// The variable, or the file and line.
    source: String,
    doc: &'static str,
}

/// Faults in JSON, of `config check`.
#[derive(Serialize)]
struct CheckJson<'a> {
    valid: bool,
    files: Vec<FileJson>,
    faults: &'a [String],
}

/// Shows or checks the configuration.
pub(crate) fn config(args: &ConfigArgs, ui: &Ui, layers: &Layers) -> Result<u8> {
    match args.action {
        Action::Show(_) => {
            if !layers.faults.is_empty() {
                return Err(faults(layers));
            }
            show(ui, layers)
        }
        Action::Check => check(ui, layers),
    }
}

fn faults(layers: &Layers) -> CliError {
    let many = counted(layers.faults.len() as u64, "fault");
    CliError::input(format!("the configuration has {many}")).details(&layers.faults)
}

fn files(layers: &Layers) -> Vec<FileJson> {
    let file = |(path, found): &(std::path::PathBuf, bool)| FileJson {
        path: path.display().to_string(),
        found: *found,
    };
    layers.files.iter().map(file).collect()
}

fn check(ui: &Ui, layers: &Layers) -> Result<u8> {
    if ui.is_json() {
        let faults = &layers.faults;
        Results::new(ui).json(&CheckJson {
            valid: faults.is_empty(),
            files: files(layers),
            faults,
        })?;
    }
    if !layers.faults.is_empty() {
        if ui.is_json() {
            return Ok(exit_code::INVALID_INPUT);
        }
        return Err(faults(layers));
    }
    for (path, found) in &layers.files {
        let found = if *found { "valid" } else { "not there" };
        ui.talk(format_args!("{}: {found}", path.display()));
    }
    ui.talk("the configuration is valid");
    Ok(exit_code::SUCCESS)
}

fn show(ui: &Ui, layers: &Layers) -> Result<u8> {
    let values: Vec<_> = keys().map(|key| (key, layers.get(key))).collect();
    if ui.is_json() {
        let setting =
            |(key, (value, origin)): &(&'static crate::config::Key, (Option<Setting>, Origin))| {
                SettingJson {
                    key: key.path,
                    value: value.as_ref().map(ToString::to_string),
                    layer: origin.layer(),
                    source: origin.to_string(),
                    doc: key.doc,
                }
            };
        let settings = values.iter().map(setting).collect();
        Results::new(ui).json(&ConfigJson { files: files(layers), settings })?;
        return Ok(exit_code::SUCCESS);
    }
    let dim = console::Style::new().dim();
    let mut table = Table::default();
    for (key, (value, origin)) in values {
        let value = value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let origin = match origin {
            Origin::Default => dim.apply_to(origin).to_string(),
            other => other.to_string(),
        };
        table.row([key.path.to_owned(), value, origin, dim.apply_to(key.doc).to_string()]);
    }
    Results::new(ui).print(&table.lines("").join("\n"))?;
    for (path, found) in &layers.files {
        let found = if *found { "read" } else { "not there" };
        ui.talk(format_args!("{}: {found}", path.display()));
    }
    Ok(exit_code::SUCCESS)
}
