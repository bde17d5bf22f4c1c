//! How many runs a second the scheduler places and takes: the whole life of a run, over a few
//! shapes of fleets. Run it with `cargo run --release -p sandmill-scheduler --example cycles`.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use sandmill_core::{CallOptions, Ceiling};
use sandmill_scheduler::{
    Action, Event, HostId, HostSpec, Need, Resources, RunNo, Scheduler, SchedulerConfig,
};
use sandmill_wire::Digest;

const RUNS: u64 = 2_000_000;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    for (hosts, slots, backlog, classes) in
        [(8, 8, 0, 1), (8, 8, 10_000, 1), (8, 8, 10_000, 100), (1_000, 8, 10_000, 1)]
    {
        let rate = cycles(hosts, slots, backlog, classes);
        writeln!(
            out,
            "{hosts} hosts of {slots} slots, {backlog} waiting, {classes} needs: {rate:.2} M runs/s"
        )?;
    }
    Ok(())
}

/// Millions of runs a second, each of them ready, assigned, started, ended and taken.
fn cycles(hosts: u64, slots: u32, backlog: usize, classes: usize) -> f64 {
    let begin = Instant::now();
    let mut scheduler = Scheduler::new(SchedulerConfig::default());
    let mut actions = Vec::new();
    for host in 0..hosts {
        let spec = Box::new(HostSpec {
            name: format!("host-{host}").into(),
            slots,
            labels: BTreeSet::new(),
            resources: Resources::new(),
            ceiling: Ceiling::unbounded(),
            holds: Vec::new(),
        });
        scheduler.on_event(begin, Event::HostUp { host: HostId(host), spec }, &mut actions);
    }
    let needs: Vec<Arc<Need>> = (0..classes)
        .map(|n| {
            let component = Digest::of(&n.to_le_bytes());
            Arc::new(Need::of(component, 1_000, &CallOptions::default()).expect("asks for nothing"))
        })
        .collect();
    let mut at_hosts = VecDeque::new();
    let (mut given, mut taken) = (0, 0);
    let begin = Instant::now();
    while taken < RUNS {
        let now = Instant::now();
        while given < RUNS && scheduler.waiting() < backlog.max(1) {
            let need = Arc::clone(&needs[given as usize % classes]);
            let ready = Event::Ready { run: RunNo(given), need, input_bytes: 100, inputs: None };
            scheduler.on_event(now, ready, &mut actions);
            given += 1;
        }
        for action in actions.drain(..) {
            match action {
                Action::Assign { run, host, lease } => at_hosts.push_back((run, host, lease)),
                Action::Take { .. } => taken += 1,
                _ => {}
            }
        }
        // A batch of ends, as a frame would bring them.
        for _ in 0..16 {
            let Some((run, host, lease)) = at_hosts.pop_front() else { break };
            scheduler.on_event(now, Event::Started { run, lease }, &mut actions);
            scheduler.on_event(now, Event::Ended { host, run, lease, took: None }, &mut actions);
        }
    }
    RUNS as f64 / begin.elapsed().as_secs_f64() / 1e6
}
