//! The most that a host lets any run use and reach, whatever its submitter asks for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;
use crate::{Access, DirGrant, Grants, HttpGrant, Limits, NetGrant};

/// The most memory that one run may ask of a worker by default: 4 GiB.
pub const DEFAULT_CEILING_MEMORY: u64 = 4 << 30;
/// The longest that one attempt may ask to run on a worker by default: a day.
pub const DEFAULT_CEILING_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest argument map or result that a worker takes by default: 1 GiB.
pub const DEFAULT_CEILING_TRANSFER: u64 = 1 << 30;

/// The most handles (files, sockets, streams, …) that one run may ask of a worker by default. Each
/// costs the worker memory beside the run's own, and may be a file descriptor.
pub const DEFAULT_CEILING_HANDLES: u32 = 16_384;

/// A time limit that no run asks for: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What a host allows. A run that asks for more is not given less, since its answer could then
/// depend on where it ran: it is placed elsewhere, or refused. By default nothing may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ceiling {
    /// Whether runs may be granted the clock.
    pub clock: bool,
    /// Whether runs may be granted randomness.
    pub random: bool,
    /// Names of environment variables that runs may be granted; `*` is any.
    pub env: Vec<String>,
    /// Directories of the host, by their absolute paths, below which runs may be granted some. Here
    /// paths are compared; that no link leads out is for whoever opens them to see to.
    pub dirs: Vec<DirCeiling>,
    /// Peers that runs may be granted.
    pub net: Vec<NetGrant>,
    /// Whether runs may be granted any peer.
    pub any_net: bool,
    /// Servers that runs may be granted.
    pub http: Vec<HttpGrant>,
    /// Whether runs may be granted any server.
    pub any_http: bool,
    /// Most bytes of memory of a run.
    #[serde(with = "units::size")]
    pub memory: u64,
    /// Longest time limit of an attempt.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// Most bytes of an argument map, of a result, and of logs.
    #[serde(with = "units::size")]
    pub transfer: u64,
    /// Most handles at a time.
    pub handles: u32,
}

/// A directory of the host that runs may be granted, or what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirCeiling {
    /// Its absolute path.
    pub host: std::path::PathBuf,
    /// Whether they may be granted to change it.
    #[serde(default)]
    pub access: Access,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            clock: false,
            random: false,
            env: Vec::new(),
            dirs: Vec::new(),
            net: Vec::new(),
            any_net: false,
            http: Vec::new(),
            any_http: false,
            memory: DEFAULT_CEILING_MEMORY,
            timeout: DEFAULT_CEILING_TIMEOUT,
            transfer: DEFAULT_CEILING_TRANSFER,
            handles: DEFAULT_CEILING_HANDLES,
        }
    }
}

impl Ceiling {
    /// A host that allows everything: one that is its submitter's own.
    #[must_use]
    pub fn unbounded() -> Self {
        Self {
            clock: true,
            random: true,
            env: vec!["*".to_owned()],
            dirs: vec![DirCeiling { host: "/".into(), access: Access::ReadWrite }],
            net: Vec::new(),
            any_net: true,
            http: Vec::new(),
            any_http: true,
            memory: u64::MAX,
            timeout: LONGEST,
            transfer: u64::MAX,
            handles: u32::MAX,
        }
    }

    /// All that such a run asks for beyond what is allowed, each in words; empty when it may run.
    #[must_use]
    pub fn refuses(&self, grants: &Grants, limits: &Limits) -> Vec<String> {
        let mut over = Vec::new();
        if grants.clock && !self.clock {
            over.push("the clock is not allowed".to_owned());
        }
        if grants.random && !self.random {
            over.push("randomness is not allowed".to_owned());
        }
        let env = grants.env.keys().filter(|name| !self.allows_env(name));
        over.extend(env.map(|name| format!("the environment variable {name} is not allowed")));
        let dirs = grants.dirs.iter().filter(|dir| !self.allows_dir(dir));
        over.extend(dirs.map(|dir| {
            let how = match dir.access {
                Access::ReadOnly => "to be read",
                Access::ReadWrite => "to be changed",
            };
            format!("the directory {} is not allowed {how}", dir.host.display())
        }));
        let net = grants.net.iter().filter(|peer| !self.allows_net(peer));
        over.extend(net.map(|peer| format!("the peer {peer} is not allowed")));
        let http = grants.http.iter().filter(|server| !self.allows_http(server));
        over.extend(http.map(|server| format!("the HTTP server {server} is not allowed")));
        if limits.memory > self.memory {
            let (asked, allowed) = (limits.memory, self.memory);
            over.push(format!(
                "{} of memory is more than {}",
                units::format_size(asked),
                units::format_size(allowed)
            ));
        }
        if limits.timeout > self.timeout {
            over.push(format!(
                "a time limit of {} is more than {}",
                units::format_duration(limits.timeout),
                units::format_duration(self.timeout)
            ));
        }
        if limits.handles > self.handles {
            over.push(format!("{} handles are more than {}", limits.handles, self.handles));
        }
        let transfers =
            [("arguments", limits.input), ("a result", limits.output), ("logs", limits.logs)];
        for (what, asked) in transfers {
            if asked > self.transfer {
                over.push(format!(
                    "{} for {what} is more than {}",
                    units::format_size(asked),
                    units::format_size(self.transfer)
                ));
            }
        }
        over
    }

    fn allows_env(&self, name: &str) -> bool {
        self.env.iter().any(|allowed| allowed == "*" || allowed == name)
    }

    fn allows_dir(&self, asked: &DirGrant) -> bool {
        // By its path as it is written: one with `..` could lead anywhere.
        let plain = asked.host.is_absolute()
            && asked.host.components().all(|part| {
                matches!(part, std::path::Component::RootDir | std::path::Component::Normal(_))
            });
        plain
            && self.dirs.iter().any(|dir| {
                asked.host.starts_with(&dir.host)
                    && (dir.access == Access::ReadWrite || asked.access == Access::ReadOnly)
            })
    }

    fn allows_net(&self, asked: &NetGrant) -> bool {
        self.any_net
            || self.net.iter().any(|peer| {
                peer.host == asked.host && (peer.port.is_none() || peer.port == asked.port)
            })
    }

    fn allows_http(&self, asked: &HttpGrant) -> bool {
        self.any_http
            || self.http.iter().any(|server| {
                server.host == asked.host && (server.port.is_none() || server.port == asked.port)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_by_default_and_all_faults_are_told() {
        let grants = Grants {
            clock: true,
            random: true,
            env: [("A".to_owned(), "1".to_owned())].into(),
            dirs: vec!["/data::/data".parse().unwrap()],
            net: vec!["a:1".parse().unwrap()],
            http: vec!["b".parse().unwrap()],
        };
        let limits =
            Limits { memory: 1 << 60, timeout: LONGEST, handles: u32::MAX, ..Limits::default() };
        assert_eq!(Ceiling::default().refuses(&grants, &limits).len(), 9);
        assert!(Ceiling::unbounded().refuses(&grants, &limits).is_empty());
        assert!(Ceiling::default().refuses(&Grants::default(), &Limits::default()).is_empty());
    }

    #[test]
    fn a_directory_is_allowed_below_another_and_never_around_it() {
        let dirs = vec![DirCeiling { host: "/data".into(), access: Access::ReadOnly }];
        let ceiling = Ceiling { dirs, ..Ceiling::default() };
        for (dir, allowed) in [
            ("/data::/d", true),
            ("/data/a::/d", true),
            ("/data/a::/d:rw", false),
            ("/database::/d", false),
            ("/data/../etc::/d", false),
            ("data::/d", false),
        ] {
            let dir: DirGrant = dir.parse().unwrap();
            assert_eq!(ceiling.allows_dir(&dir), allowed, "{}", dir.host.display());
        }
    }

    #[test]
    fn a_peer_is_allowed_at_its_port_or_at_any() {
        let net = vec!["a:1".parse().unwrap(), "b:*".parse().unwrap()];
        let ceiling = Ceiling { net, ..Ceiling::default() };
        for (peer, allowed) in [("a:1", true), ("a:2", false), ("a:*", false), ("b:7", true)] {
            assert_eq!(ceiling.allows_net(&peer.parse().unwrap()), allowed, "{peer}");
        }
    }
}
