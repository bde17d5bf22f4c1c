//! The `sandmill` command. Reads the command line and the configuration, has a command do its
//! work, and ends with its exit code.
#![forbid(unsafe_code)]

mod app;
mod arguments;
mod build;
mod commands;
mod config;
mod credentials;
mod engine;
mod engine_flags;
mod error;
mod exit_code;
mod flags;
mod map_input;
mod need_flags;
mod open_files;
mod output;
mod overrides;
mod overriding_executor;
mod policy_flags;
mod remote;
mod schema;
mod session;
mod signals;
mod stores;
mod text;
mod trace;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue};

use crate::app::{Cli, Command, GlobalFlags};
use crate::config::{Config, Layers};
use crate::error::Result;
use crate::flags::{Settings, global_settings};
use crate::output::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error = without_secrets(error);
            // clap's errors name the argument and the usage, and ask for help on stdout.
            let _ = error.print();
            return ExitCode::from(
                u8::try_from(error.exit_code()).unwrap_or(exit_code::INVALID_INPUT),
            );
        }
    };
    let ui = Ui::new(cli.global.output.unwrap_or_default(), cli.global.color.unwrap_or_default());
    ExitCode::from(execute(cli).unwrap_or_else(|error| {
        ui.error(&error);
        error.code
    }))
}

/// What is wrong with a command line, without the values of flags that may hold a secret.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let of = |flag: &str| match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.split(' ').next() == Some(flag),
        _ => false,
    };
    if (of("--token") || of("--engine")) && error.get(ContextKind::InvalidValue).is_some() {
        let hidden = ContextValue::String("(hidden)".to_owned());
        error.insert(ContextKind::InvalidValue, hidden);
    }
    error
}

fn execute(cli: Cli) -> Result<u8> {
    let Cli { global, command } = cli;
    open_files::raise_limit();
    match command {
        // It sets limits of its own, and knows of no configuration.
        Command::CompileChild => Ok(commands::compile_child::compile_child()),
        Command::Completions(args) => commands::completions::completions(&args),
        Command::Config(args) => {
            let layers = Layers::read(with(&global, args.settings()));
            let config = Config::of(&layers);
            commands::config::config(&args, &Ui::new(config.format, config.color), &layers)
        }
        Command::Doctor(args) => {
            let layers = Layers::read(with(&global, Settings::new()));
            let config = Config::of(&layers);
            commands::doctor::doctor(&args, &Ui::new(config.format, config.color), &config, &layers)
        }
        Command::New(args) => {
            let (ui, _) = configured(&global, Settings::new())?;
            commands::new::new(&args, &ui)
        }
        Command::Inspect(args) => {
            let (ui, config) = configured(&global, Settings::new())?;
            commands::inspect::inspect(&args, &ui, &config)
        }
        Command::Call(args) => {
            let (ui, config) = configured(&global, args.settings())?;
            commands::call::call(&args, &ui, &config)
        }
        Command::Map(args) => {
            let (ui, config) = configured(&global, args.settings())?;
            commands::map::map(&args, &ui, &config)
        }
        Command::Run(args) => {
            let (ui, config) = configured(&global, args.settings())?;
            commands::run::run(&args, &ui, &config)
        }
        Command::Runs(args) => {
            let (ui, config) = configured(&global, args.settings())?;
            commands::runs::runs(&args, &ui, &config)
        }
        Command::Worker(args) => {
            let (ui, config) = configured(&global, args.settings())?;
            commands::worker::worker(&args, &ui, &config)
        }
        Command::Workers(args) => {
            let (ui, config) = configured(&global, args.settings())?;
            commands::workers::workers(&args, &ui, &config)
        }
        Command::Verify(args) => {
            let (ui, config) = configured(&global, args.settings())?;
            commands::verify::verify(&args, &ui, &config)
        }
        Command::Cert(args) => {
            let (ui, _) = configured(&global, Settings::new())?;
            commands::cert::cert(&args, &ui)
        }
        Command::Cache(args) => {
            let (ui, config) = configured(&global, Settings::new())?;
            commands::cache::cache(&args, &ui, &config)
        }
    }
}

/// The configuration with these flags, where nothing is wrong with it, and how to speak by it.
fn configured(global: &GlobalFlags, settings: Settings) -> Result<(Arc<Ui>, Config)> {
    let layers = Layers::read(with(global, settings)).checked()?;
    let config = Config::of(&layers);
    Ok((Arc::new(Ui::new(config.format, config.color)), config))
}

fn with(global: &GlobalFlags, mut settings: Settings) -> Settings {
    settings.extend(global_settings(global));
    settings
}
