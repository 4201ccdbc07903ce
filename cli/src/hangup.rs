//! Hangups: the signal SIGHUP, with which a terminal that closes ends its processes.

/// Returns true when this process was started with hangups ignored. Linux shows a mask of ignored signals,
/// in which the hangup is the lowest bit; on other systems this returns false.
#[must_use]
pub fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}
