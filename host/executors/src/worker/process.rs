//! What this process uses, by the word of its operating system.

use std::fs;

/// Ticks a second in which Linux tells processor time to programs, on every platform.
const TICKS: u64 = 100;

/// Bytes of memory and microseconds of processor time of this process; zeros where the system does
/// not tell.
pub(super) fn usage() -> (u64, u64) {
    (memory().unwrap_or(0), cpu_micros().unwrap_or(0))
}

fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn cpu_micros() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name before the last parenthesis may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * (1_000_000 / TICKS))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_process_uses_something() {
        let (memory, _) = super::usage();
        assert!(memory > 100 << 10, "{memory} bytes");
        assert!(super::cpu_micros().is_some());
    }
}
