//! What a process and all that it started use: CPU time, and memory at its peak. As Linux tells it.

use std::collections::HashMap;
use std::fs;

/// Ticks of CPU time in a second, as `/proc` counts them everywhere.
const TICKS: f64 = 100.0;

/// One process, by `/proc/PID/stat`.
struct Process {
    parent: u32,
    /// Its own time, and that of children that have ended and were waited for.
    ticks: u64,
}

/// CPU seconds that a process and its children have used so far. A hundredth of a second is the
/// least that can be told apart, for each of them.
pub(crate) fn cpu_seconds(root: u32) -> f64 {
    let all = processes();
    let ticks: u64 = tree(&all, root).iter().filter_map(|id| all.get(id)).map(|it| it.ticks).sum();
    ticks as f64 / TICKS
}

/// Has the peaks of a process and its children begin anew, where the system can do that.
pub(crate) fn reset_peaks(root: u32) {
    for id in tree(&processes(), root) {
        // Without it, peaks are those of the whole life, which is never too little.
        let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
    }
}

/// The peaks of a process and its children together, in bytes: no less than the peak of all.
pub(crate) fn peak_bytes(root: u32) -> u64 {
    tree(&processes(), root).into_iter().map(peak_of).sum()
}

/// The peak of one process, in bytes; 0 where there is none any more.
pub(crate) fn peak_of(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    kibibytes(&status, "VmHWM:") * 1_024
}

/// The number on the line of this name.
pub(crate) fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        Some((id, read(&stat)?))
    })
    .collect()
}

/// The name in the second field may have anything in it, so what follows is counted from its end.
fn read(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Process { parent: u32::try_from(number(1)?).ok()?, ticks })
}

fn tree(all: &HashMap<u32, Process>, root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = all.iter().filter(|(id, it)| it.parent == parent && !found.contains(id));
        let children: Vec<u32> = children.map(|(&id, _)| id).collect();
        found.extend(children);
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_may_look_like_fields() {
        let stat = "17 (a) b (c) S 4 17 17 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7";
        let process = read(stat).unwrap();
        assert_eq!((process.parent, process.ticks), (4, 100));
    }

    #[test]
    fn this_process_is_seen() {
        assert!(peak_bytes(std::process::id()) > 1 << 20);
        assert!(cpu_seconds(std::process::id()) >= 0.0);
    }
}
