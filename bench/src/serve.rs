//! A subject's side: one process that does what it is asked on standard input, line by line, and
//! says on standard output what that came to.

use std::io::{BufRead as _, Write as _};

use anyhow::{Result, bail};

use crate::bare::Bare;
use crate::commands::{Commands, Kind};
use crate::library::{Alone, Library};
use crate::measure::Said;
use crate::places::Places;
use crate::subject::Subject;

/// Serves the subject of this name until standard input ends.
pub(crate) fn serve(name: &str, places: &Places) -> Result<()> {
    let mut subject = match open(name, places) {
        Ok(subject) => subject,
        Err(error) => return say(&Said::Missing { why: format!("{error:#}") }),
    };
    say(&Said::Ready { what: name.to_owned() })?;
    for line in std::io::stdin().lock().lines() {
        let measured = subject.measure(serde_json::from_str(&line?)?);
        say(&match measured {
            Ok(answer) => Said::Measured(answer),
            Err(error) => Said::Failed { why: format!("{error:#}") },
        })?;
    }
    Ok(())
}

fn say(said: &Said) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(said)?)?;
    Ok(out.flush()?)
}

fn open(name: &str, places: &Places) -> Result<Box<dyn Subject>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let command =
        |kind| -> Result<Box<dyn Subject>> { Ok(Box::new(Commands::open(places, kind)?)) };
    Ok(match name {
        "bare-1" => Box::new(Bare::open(&places.guest, 1)?),
        "bare" => Box::new(Bare::open(&places.guest, cores)?),
        "sandbox" => Box::new(Alone::open(places)?),
        "map" => command(Kind::Map)?,
        "call" => command(Kind::Call)?,
        "wasmtime" => command(Kind::Wasmtime)?,
        "start" => command(Kind::Start)?,
        "inline" | "pool" | "flow" | "journal" | "processes" | "remote-1" | "remote-2" | "nats" => {
            Box::new(Library::open(places, name, cores)?)
        }
        other => bail!("there is no subject `{other}` in this program"),
    })
}
