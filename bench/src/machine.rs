//! The machine that was measured on, and how busy it was.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use sandmill::sandbox::{Sandbox, SandboxConfig};
use serde::Serialize;

use crate::places::workspace;
use crate::process_tree::kibibytes;

/// What numbers have to be read with.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) when: String,
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) wasmtime: &'static str,
    pub(crate) pagemap_scan: bool,
    pub(crate) commit: String,
    /// Processes that wanted a core in the minute before the first measurement, and the last.
    pub(crate) load_before: f64,
    pub(crate) load_after: f64,
}

impl Machine {
    /// As it is now.
    pub(crate) fn look() -> Self {
        let diagnosis = Sandbox::new(SandboxConfig { slots: 1, ..SandboxConfig::default() })
            .map(|sandbox| sandbox.diagnosis());
        let (wasmtime, pagemap_scan) =
            diagnosis.map_or(("none", false), |it| (it.wasmtime, it.pagemap_scan));
        let processors = read("/proc/cpuinfo");
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = processor.map_or("unknown", |it| it.trim_start_matches([' ', '\t', ':']));
        let memory = kibibytes(&read("/proc/meminfo"), "MemTotal:") as f64 / 1_048_576.0;
        Self {
            when: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor.to_owned(),
            memory_gib: (memory * 10.0).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            wasmtime,
            pagemap_scan,
            commit: commit(),
            load_before: load(),
            load_after: 0.0,
        }
    }

    /// The same after everything.
    pub(crate) fn done(mut self) -> Self {
        self.load_after = load();
        self
    }

    /// What has to be said where others used the machine.
    pub(crate) fn caution(&self) -> Option<String> {
        (self.load_before >= self.cores as f64 / 2.0).then(|| {
            format!(
                "Others used the machine (load {} on {} cores before the first measurement): a subject \
                 of more processes got more of it, so ratios by time are to be taken with care, and \
                 those by CPU time are better.",
                self.load_before, self.cores
            )
        })
    }

    /// In a sentence.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} cores ({}), {} GiB, Linux {}, wasmtime {}{}, commit {}, {}; load {} before, {} after",
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.wasmtime,
            if self.pagemap_scan { " with pagemap scan" } else { " without pagemap scan" },
            self.commit,
            self.when,
            self.load_before,
            self.load_after,
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn load() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(f64::NAN)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(workspace()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no", "--", "host"]) {
        Some(changed) if changed.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}
