//! Maps a task over a range of seeds: `cargo run --release -p sandmill --example map -- \
//! montecarlo.wasm estimate seed 1000 samples=10`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Instant;

use sandmill::{Host, MapOptions, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, task, parameter, count, fixed @ ..] = arguments.as_slice() else {
        return Err("usage: map COMPONENT TASK PARAMETER COUNT [NAME=JSON]...".into());
    };
    let count: u64 = count.parse()?;
    let host = Host::new()?;
    let component = host.load(path)?;
    let window = MapOptions { window: Some(1_024), fail_fast: false };
    let mut task = host.task(&component, task)?.map_options(window);
    for argument in fixed {
        let (name, json) = argument.split_once('=').ok_or("an argument is NAME=JSON")?;
        task = task.with(name, &Value::from_json_str(json)?)?;
    }

    let started = Instant::now();
    let mut completed = 0;
    for run in task.map_over(parameter, 0..count).into_ordered() {
        match run.result(None) {
            Ok(_) => completed += 1,
            Err(error) => println!("{error}"),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = f64::from(completed) / seconds;
    println!("{completed} of {count} runs completed in {seconds:.2} s: {rate:.0} runs/s");
    host.close();
    Ok(())
}
