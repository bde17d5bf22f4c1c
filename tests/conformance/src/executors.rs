//! The executors that every case runs on. This is the one place that names them.

use sandmill::{ExecutorKind, Host, HostBuilder};

use crate::cache_directory;
use crate::fleets::{Others, cluster, nats, processes, remote};

/// One executor that has to pass every case.
pub struct ExecutorUnderTest {
    /// Its name in the table.
    pub name: &'static str,
    /// Whether `submit` returns only when the run has ended.
    pub runs_in_submit: bool,
    /// Whether its runs are made in this process.
    pub in_this_process: bool,
    /// Whether it is another one of the table with other means of carrying runs: what is above
    /// that, the other shows.
    pub is_variant: bool,
    /// Sets a host up to use it, with so many slots.
    pub choose: fn(HostBuilder, usize) -> (HostBuilder, Others),
}

/// Every executor there is, and every way in which its runs are carried.
pub const EXECUTORS: &[ExecutorUnderTest] = &[
    ExecutorUnderTest {
        name: "inline",
        runs_in_submit: true,
        in_this_process: true,
        is_variant: false,
        choose: |host, slots| (host.executor(ExecutorKind::Inline).slots(slots), Others::default()),
    },
    ExecutorUnderTest {
        name: "pool",
        runs_in_submit: false,
        in_this_process: true,
        is_variant: false,
        choose: |host, slots| (host.executor(ExecutorKind::Pool).slots(slots), Others::default()),
    },
    ExecutorUnderTest {
        name: "processes",
        runs_in_submit: false,
        in_this_process: false,
        is_variant: true,
        choose: processes,
    },
    ExecutorUnderTest {
        name: "cluster",
        runs_in_submit: false,
        in_this_process: false,
        is_variant: true,
        choose: cluster,
    },
    ExecutorUnderTest {
        name: "remote",
        runs_in_submit: false,
        in_this_process: false,
        is_variant: false,
        choose: remote,
    },
    ExecutorUnderTest {
        name: "nats",
        runs_in_submit: false,
        in_this_process: false,
        is_variant: true,
        choose: nats,
    },
];

/// A host of one executor, with what has to be there for it.
pub struct Alone {
    // First, so that it goes first.
    host: Option<Host>,
    _others: Others,
}

impl Alone {
    /// A host of this executor, set up further. What it compiles, all others of the tests have too.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn open(
        executor: &ExecutorUnderTest,
        slots: usize,
        set_up: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let (builder, others) = (executor.choose)(Host::builder(), slots);
        let builder = set_up(builder.cache_dir(cache_directory()));
        let host = builder.build().unwrap_or_else(|error| panic!("{}: {error}", executor.name));
        Self { host: Some(host), _others: others }
    }

    /// Lets everything finish, and closes the host.
    pub fn close(mut self) {
        self.host.take().into_iter().for_each(Host::close);
    }
}

impl std::ops::Deref for Alone {
    type Target = Host;

    fn deref(&self) -> &Host {
        self.host.as_ref().expect("it is there until it is closed")
    }
}
