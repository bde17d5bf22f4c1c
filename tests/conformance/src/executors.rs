//! The executors that every case runs on. This is the one place that names them.

use sandmill::{ExecutorKind, HostBuilder};

/// One executor that has to pass every case.
pub struct ExecutorUnderTest {
    /// Its name, as users know it.
    pub name: &'static str,
    /// Whether `submit` returns only when the run has ended.
    pub runs_in_submit: bool,
    /// Sets a host up to use it.
    pub choose: fn(HostBuilder) -> HostBuilder,
}

/// Every executor there is.
pub const EXECUTORS: &[ExecutorUnderTest] = &[
    ExecutorUnderTest {
        name: "inline",
        runs_in_submit: true,
        choose: |host| host.executor(ExecutorKind::Inline),
    },
    ExecutorUnderTest {
        name: "pool",
        runs_in_submit: false,
        choose: |host| host.executor(ExecutorKind::Pool),
    },
];
