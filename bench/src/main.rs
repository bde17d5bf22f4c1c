//! Measures Sandmill side by side with a bare loop over the engine and with what users would pick
//! instead, in one run. What is measured is in `plan`, of whom in `subject`, how in `session`; what
//! is to be reached is in `goals`.
#![deny(unsafe_code)]

mod args;
mod arguments;
mod bare;
mod check;
mod commands;
mod document;
mod driver;
mod flows;
mod goals;
mod layers;
mod library;
mod machine;
mod measure;
mod nats;
mod places;
mod plan;
mod plot;
mod process_tree;
mod report;
mod results;
mod serve;
mod session;
mod stats;
mod subject;
mod table;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::args::{Cli, Options, Part};
use crate::driver::Driver;
use crate::machine::Machine;
use crate::places::Places;
use crate::plan::{Extent, plan};
use crate::report::{Form, Report};

#[expect(clippy::print_stderr, reason = "this is a program, and it failed")]
fn main() -> ExitCode {
    let Cli { part, options } = Cli::parse();
    let done = match part {
        None => measure(&options),
        Some(Part::Subject { name, places }) => serve::serve(&name, &places).map(|()| true),
        Some(Part::BareStart { code }) => bare::start(&code).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Measures, and tells; false when `--check` found faults.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]
fn measure(options: &Options) -> Result<bool> {
    eprintln!("building the guest and the `sandmill` binary");
    std::fs::create_dir_all(&options.out).with_context(|| format!("{}", options.out.display()))?;
    // There and not in the system's folder, which may be no disk at all: journals would be praised
    // for what they do not do.
    let scratch = tempfile::tempdir_in(options.out.canonicalize()?)?;
    let places = Places::build(scratch.path())?;
    let machine = Machine::look();
    let extent = options.extent();
    let mut driver = Driver::new(&places, &options.only, extent);
    // Nothing of the check takes time by itself.
    let rounds = if extent == Extent::Check { 1 } else { driver.calibrate()? };
    let steps = driver.run(&plan(extent, rounds));
    let Driver { asked, out, .. } = driver;
    let report = Report::of(machine.done(), options.command(), steps, asked, out);
    if extent == Extent::Check {
        let faults = check::faults(&report.steps);
        for fault in &faults {
            println!("fault: {fault}");
        }
        let told = if faults.is_empty() { "no gross loss" } else { "see the faults above" };
        println!("{told}; {}", report.machine.line());
        return Ok(faults.is_empty());
    }
    println!("{}", report.machine.line());
    report.machine.caution().into_iter().for_each(|caution| println!("{caution}"));
    println!("{}", report.tables(Form::Text));
    let file = options.out.join("bench.json");
    std::fs::write(&file, serde_json::to_string_pretty(&report)?)?;
    println!("all readings are in {}", file.display());
    if let Some(document_path) = &options.markdown {
        document::write(&report, document_path)?;
        println!("{} has these tables now", document_path.display());
    }
    Ok(true)
}
