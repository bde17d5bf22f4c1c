//! What the driver's state does that cannot be seen from outside without stopping this process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::Ceiling;
use sandmill_scheduler::HostId;
use sandmill_transport::message::{Welcome, WorkerId};
use tokio_util::sync::CancellationToken;

use super::super::fleet::HostState;
use super::carrier::Carrier;
use super::config::DirectConfig;
use super::hosts::Host;
use super::link::{News, NewsKind};
use super::way::WayError;

const LEASE: Duration = Duration::from_secs(15);

fn welcome(name: &str) -> Box<Welcome> {
    Box::new(Welcome {
        protocol: 1,
        worker: WorkerId::new(),
        program: "test".to_owned(),
        name: name.to_owned(),
        platform: "test".to_owned(),
        slots: 1,
        labels: BTreeSet::new(),
        resources: BTreeMap::new(),
        ceiling: Ceiling::default(),
        holds: Vec::new(),
        runs: Vec::new(),
        resumed: false,
    })
}

/// A carrier with a host whose link broke just now.
fn with_a_silent_host() -> Carrier {
    let mut carrier = Carrier::new(Arc::new(DirectConfig::default().checked()));
    let host = Host::new(HostId(1), "a".to_owned(), CancellationToken::new());
    carrier.hosts.insert(1, host);
    let kinds = [NewsKind::Opened(welcome("a")), NewsKind::Broken(WayError::passing("cut"), None)];
    for kind in kinds {
        carrier.hear(News { link: 1, connection: 1, kind });
    }
    assert_eq!(carrier.hosts[&1].state, HostState::Silent);
    carrier
}

fn ago(time: Duration) -> Instant {
    Instant::now().checked_sub(time).expect("the machine runs for longer")
}

#[test]
fn a_host_that_is_not_heard_of_for_a_lease_is_given_up() {
    let mut carrier = with_a_silent_host();
    carrier.tick();
    assert_eq!(carrier.hosts[&1].state, HostState::Silent);
    carrier.hosts.get_mut(&1).unwrap().heard = ago(LEASE);
    carrier.tick();
    assert_eq!(carrier.hosts[&1].state, HostState::Down);
    assert_eq!(carrier.scheduler.counts().hosts, 0);
}

#[test]
fn when_this_process_stood_still_its_hosts_get_another_lease() {
    let mut carrier = with_a_silent_host();
    carrier.hosts.get_mut(&1).unwrap().heard = ago(4 * LEASE);
    carrier.looked = ago(4 * LEASE);
    carrier.tick();
    assert_eq!(carrier.hosts[&1].state, HostState::Silent);
    assert_eq!(carrier.scheduler.counts().hosts, 1);
    // Another one, and no more.
    carrier.hosts.get_mut(&1).unwrap().heard = ago(LEASE);
    carrier.tick();
    assert_eq!(carrier.hosts[&1].state, HostState::Down);
}

#[test]
fn words_of_an_earlier_connection_change_nothing() {
    let mut carrier = with_a_silent_host();
    carrier.hear(News { link: 1, connection: 2, kind: NewsKind::Opened(welcome("a")) });
    let late = NewsKind::Broken(WayError::passing("late"), None);
    carrier.hear(News { link: 1, connection: 1, kind: late });
    assert_eq!(carrier.hosts[&1].state, HostState::Up);
}

/// What a host says stands behind a value that it sends: that it was heard of late is no reason to give it
/// up as soon as its link breaks.
#[test]
fn a_host_that_was_sending_something_large_is_not_given_up_with_its_link() {
    let mut carrier = with_a_silent_host();
    carrier.hear(News { link: 1, connection: 2, kind: NewsKind::Opened(welcome("a")) });
    carrier.hosts.get_mut(&1).unwrap().heard = ago(2 * LEASE);
    let broken = NewsKind::Broken(WayError::passing("cut"), Some(ago(LEASE / 2)));
    carrier.hear(News { link: 1, connection: 2, kind: broken });
    carrier.tick();
    assert_eq!(carrier.hosts[&1].state, HostState::Silent);
    carrier.hosts.get_mut(&1).unwrap().heard = ago(LEASE);
    carrier.tick();
    assert_eq!(carrier.hosts[&1].state, HostState::Down);
}
