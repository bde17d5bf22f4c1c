//! What goes over links: a component once to each host, whatever is made of it.

use sandmill_test_hosts::{LONG, Trial, Workload, count};

use crate::needs_networks;

/// Bytes of the component.
const LARGE: u64 = 5 << 20;
/// Runs of each flow.
const RUNS: u64 = 2_000;
/// Flows, one after the other and each by a coordinator of its own.
const FLOWS: u64 = 3;

#[test]
fn a_large_component_reaches_each_host_once_however_many_runs_there_are() {
    needs_networks!();
    let workload =
        Workload::naps(RUNS, (5, 15)).with_component_of(usize::try_from(LARGE).expect("it fits"));
    let trial = Trial::new(workload, 8);
    for flow in 1..=FLOWS {
        let ended = trial.run().wait(LONG).exits(0);
        println!("flow {flow} of {RUNS} runs took {:?}", ended.took);
    }
    let mut made = 0;
    for host in 0..3 {
        let metrics = trial.metrics(host);
        let (sent, answered) = trial.network.traffic(host);
        let transfers = count(&metrics, "sandmill_worker_component_transfers_total");
        println!("host {host}: {transfers} transfers, {sent} bytes to it, {answered} from it");
        assert_eq!(transfers, 1, "host {host}");
        // Orders, heartbeats and what they are wrapped in come to less than another component.
        assert!((LARGE..2 * LARGE).contains(&sent), "host {host}: {sent} bytes");
        made += trial.made(host);
    }
    assert_eq!(made, FLOWS * RUNS);
}
