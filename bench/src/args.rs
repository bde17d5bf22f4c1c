//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::places::Places;
use crate::plan::Extent;
use crate::subject::SUBJECTS;

const NOTES: &str = "\
Each subject runs in a process of its own; they take turns, round by round, and each is held against
the bare loop of the same round. Peers are measured where python3 can import them (dask[distributed],
ray, prefect); SANDMILL_BENCH_PYTHON names another interpreter, a virtual environment's say. NATS is
measured where there is a nats-server 2.12 or newer; SANDMILL_TEST_NATS_SERVER names one.

Exit codes: 0 measured, 1 --check found gross loss, 2 it could not be measured.";

/// Measures Sandmill beside a bare wasmtime loop and its peers, in one run.
#[derive(Debug, Parser)]
#[command(after_help = NOTES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What is measured, and where it is written.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer runs and rounds: a minute and a half where no peers are installed.
    #[arg(long)]
    quick: bool,
    /// Looks for gross loss alone, and fails when there is some: half a minute, for CI.
    #[arg(long, conflicts_with_all = ["quick", "only", "markdown"])]
    check: bool,
    /// Where `bench.json` goes.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) out: PathBuf,
    /// Only these subjects, beside what they are held against.
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = names())]
    pub(crate) only: Vec<String>,
    /// Writes the tables into this document, between its marks, and pictures beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

impl Options {
    /// How much is measured.
    pub(crate) const fn extent(&self) -> Extent {
        match (self.check, self.quick) {
            (true, _) => Extent::Check,
            (_, true) => Extent::Quick,
            _ => Extent::Whole,
        }
    }

    /// The command that measures the same.
    pub(crate) fn command(&self) -> String {
        let mut command = "cargo run --release -p sandmill-bench --".to_owned();
        if self.quick {
            command.push_str(" --quick");
        }
        if !self.only.is_empty() {
            command.push_str(&format!(" --only {}", self.only.join(" ")));
        }
        command
    }
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(SUBJECTS.iter().map(|entry| entry.name))
}

/// Parts of this program that it starts itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Serves one subject.
    #[command(hide = true)]
    Subject {
        name: String,
        #[command(flatten)]
        places: Places,
    },
    /// Makes one run of what was compiled before.
    #[command(hide = true)]
    BareStart { code: PathBuf },
}
