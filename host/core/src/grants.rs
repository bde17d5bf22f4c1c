//! What one run may reach. Empty by default: nothing is ambient. What it may use is in `limits`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What one run may reach beyond its arguments. A run without grants is a pure function of its
/// component, task and arguments: its clock stands still, its randomness follows from the call,
/// its environment, files and network are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// The real clocks.
    pub clock: bool,
    /// The system's randomness.
    pub random: bool,
    /// Environment variables, by name.
    pub env: BTreeMap<String, String>,
    /// Directories of the host.
    pub dirs: Vec<DirGrant>,
    /// TCP and UDP peers.
    pub net: Vec<NetGrant>,
    /// Servers for outgoing HTTP requests.
    pub http: Vec<HttpGrant>,
}

impl Grants {
    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The names of what is granted, for people: `clock`, `dirs`, ….
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        [
            ("clock", self.clock),
            ("random", self.random),
            ("env", !self.env.is_empty()),
            ("dirs", !self.dirs.is_empty()),
            ("net", !self.net.is_empty()),
            ("http", !self.http.is_empty()),
        ]
        .into_iter()
        .filter_map(|(name, granted)| granted.then_some(name))
        .collect()
    }

    /// These grants and `more` together. Where both name the same variable or guest path, `more`
    /// wins.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        self.clock |= more.clock;
        self.random |= more.random;
        self.env.extend(more.env.clone());
        self.dirs.retain(|dir| more.dirs.iter().all(|other| other.guest != dir.guest));
        self.dirs.extend(more.dirs.iter().cloned());
        self.net.extend(
            more.net.iter().filter(|net| !self.net.contains(net)).cloned().collect::<Vec<_>>(),
        );
        self.http.extend(
            more.http.iter().filter(|http| !self.http.contains(http)).cloned().collect::<Vec<_>>(),
        );
        self
    }
}

/// Whether a directory may be changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Files and directories may be listed and read.
    #[default]
    #[serde(alias = "ro")]
    ReadOnly,
    /// They may be changed, made and removed too.
    #[serde(alias = "rw")]
    ReadWrite,
}

/// A directory of the host, seen by the guest under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirGrant {
    /// Where it is on the host.
    pub host: PathBuf,
    /// Where the guest finds it: an absolute path such as `/src`.
    pub guest: String,
    /// What the guest may do there: `read-only` (the default) or `read-write`.
    #[serde(default)]
    pub access: Access,
}

impl FromStr for DirGrant {
    type Err = GrantError;

    /// Reads `HOST::GUEST[:ro|:rw]`; read-only unless it says `rw`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why| GrantError {
            what: "directory",
            form: "HOST::GUEST[:ro|:rw]",
            text: text.to_owned(),
            why,
        };
        let (host, rest) = text.split_once("::").ok_or_else(|| error("it has no `::`"))?;
        let (guest, access) = match rest.rsplit_once(':') {
            None => (rest, Access::ReadOnly),
            Some((guest, "ro")) => (guest, Access::ReadOnly),
            Some((guest, "rw")) => (guest, Access::ReadWrite),
            Some(_) => return Err(error("after the guest path comes `:ro` or `:rw`")),
        };
        if host.is_empty() {
            return Err(error("the host path is empty"));
        }
        if guest.is_empty() {
            return Err(error("the guest path is empty"));
        }
        Ok(Self { host: PathBuf::from(host), guest: guest.to_owned(), access })
    }
}

/// A peer that may be connected to: a name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetGrant {
    /// A DNS name, or an IP address. A name grants the addresses that it has when the run starts.
    pub host: String,
    /// The port; none for any.
    pub port: Option<u16>,
}

impl FromStr for NetGrant {
    type Err = GrantError;

    /// Reads `HOST:PORT`, `[V6]:PORT`, or with `*` for any port.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why| GrantError {
            what: "network peer",
            form: "HOST:PORT",
            text: text.to_owned(),
            why,
        };
        let (host, port) =
            text.rsplit_once(':').ok_or_else(|| error("it has no port; `HOST:*` means any"))?;
        let port = match port {
            "*" => None,
            number => {
                Some(number.parse().map_err(|_| error("the port is not a number up to 65535"))?)
            }
        };
        Ok(Self {
            host: host_name(host).ok_or_else(|| error("the host is not a name or an address"))?,
            port,
        })
    }
}

impl fmt::Display for NetGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

/// A server that may be sent HTTP requests: a name or an address, and maybe a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpGrant {
    /// A DNS name, or an IP address.
    pub host: String,
    /// The port; none for the usual ones, 80 for http and 443 for https.
    pub port: Option<u16>,
}

impl FromStr for HttpGrant {
    type Err = GrantError;

    /// Reads `HOST` or `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why| GrantError {
            what: "HTTP server",
            form: "HOST[:PORT]",
            text: text.to_owned(),
            why,
        };
        let bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !bare_v6 && !text.ends_with(']') => (
                host,
                Some(port.parse().map_err(|_| error("the port is not a number up to 65535"))?),
            ),
            _ => (text, None),
        };
        Ok(Self {
            host: host_name(host).ok_or_else(|| {
                error("the host is not a name or an address; leave out `http://` and the path")
            })?,
            port,
        })
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }
}

/// A host's name in lower case, or its address in its usual form; none when it is neither.
fn host_name(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Some(address.to_string());
    }
    let fits = !bare.is_empty()
        && bare.len() <= 253
        && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    fits.then(|| bare.to_ascii_lowercase())
}

macro_rules! text_serde {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_serde!(NetGrant, HttpGrant);

/// Text that should have been a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not name a {what} as {form}: {why}")]
pub struct GrantError {
    what: &'static str,
    form: &'static str,
    text: String,
    why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_only_unless_they_say_otherwise() {
        let dir: DirGrant = "/home/me::/src".parse().unwrap();
        assert_eq!(
            (dir.host.to_str(), &*dir.guest, dir.access),
            (Some("/home/me"), "/src", Access::ReadOnly)
        );
        assert_eq!(".::/w:rw".parse::<DirGrant>().unwrap().access, Access::ReadWrite);
        for wrong in ["/src", "::/src", "/src::", "/a::/b:wr", "/a:/b"] {
            assert!(wrong.parse::<DirGrant>().is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn peers_have_a_host_and_a_port() {
        assert_eq!("Example.com:80".parse::<NetGrant>().unwrap().to_string(), "example.com:80");
        assert_eq!("[::1]:*".parse::<NetGrant>().unwrap().to_string(), "[::1]:*");
        assert_eq!("example.com".parse::<HttpGrant>().unwrap().port, None);
        assert_eq!("[::1]:8080".parse::<HttpGrant>().unwrap().to_string(), "[::1]:8080");
        assert_eq!("::1".parse::<HttpGrant>().unwrap().host, "::1");
        for wrong in ["example.com", "example.com:port", ":80", "a b:80", "example.com:70000"] {
            assert!(wrong.parse::<NetGrant>().is_err(), "{wrong} was taken");
        }
        for wrong in ["http://example.com", "example.com/path", ""] {
            assert!(wrong.parse::<HttpGrant>().is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn the_later_grant_of_a_path_wins() {
        let base =
            Grants { dirs: vec!["/a::/x".parse().unwrap()], clock: true, ..Grants::default() };
        let more = Grants { dirs: vec!["/b::/x:rw".parse().unwrap()], ..Grants::default() };
        let both = base.and(&more);
        assert_eq!((both.dirs, both.clock), (more.dirs, true));
    }
}
