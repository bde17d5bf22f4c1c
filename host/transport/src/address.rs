//! Where a worker listens, as users write it: `tls://HOST:PORT`, `tcp://127.0.0.1:PORT`,
//! `unix:/PATH`. Connecting is for `direct`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest path of a Unix socket, in bytes: the kernel's limit is 107, and the socket is made
/// under a temporary name beside its own first.
pub const MAX_SOCKET_PATH: usize = 90;
const MAX_HOST: usize = 253;

/// Where a worker listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `tls://HOST:PORT`: over TLS, with certificates on both sides.
    Tls {
        /// A host name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `tcp://127.0.0.1:PORT`: in the clear, on this machine only.
    Tcp(SocketAddr),
    /// `unix:/PATH`: a socket that only its user can reach.
    Unix(PathBuf),
}

impl Address {
    /// Whether what is said there can leave this machine.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        !matches!(self, Self::Tls { .. })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why| AddressError { text: preview(text), why };
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///PATH` is how some write it.
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(error("the path of the socket has to start with `/`"));
            }
            if path.len() > MAX_SOCKET_PATH {
                return Err(error("the path of a socket may have 90 bytes: use a shorter one"));
            }
            if path.ends_with('/') || path.contains('\0') {
                return Err(error("the path does not name a file"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            error("write tls://HOST:PORT, tcp://127.0.0.1:PORT (this machine only) or unix:/PATH")
        })?;
        if !matches!(scheme, "tls" | "tcp") {
            return Err(error("it has to start with `tls://`, `tcp://` or `unix:`"));
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| error("it has no port"))?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = digits
            .then(|| port.parse().ok())
            .flatten()
            .ok_or_else(|| error("the port is not a number up to 65535"))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => inner
                .parse::<Ipv6Addr>()
                .map_err(|_| error("what stands in brackets is not an IPv6 address"))?
                .to_string(),
            None => host.to_owned(),
        };
        if scheme == "tls" {
            let name =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            let named = !host.is_empty() && host.len() <= MAX_HOST && host.bytes().all(name);
            if !named && host.parse::<IpAddr>().is_err() {
                return Err(error("the host is not a name or an address"));
            }
            return Ok(Self::Tls { host, port });
        }
        let ip = match host.as_str() {
            "localhost" => IpAddr::from([127, 0, 0, 1]),
            other => other.parse().map_err(|_| {
                error("tcp:// takes an IP address of this machine: 127.0.0.1 or [::1]")
            })?,
        };
        if !ip.is_loopback() {
            return Err(error(
                "tcp:// is not encrypted and reaches this machine only: use tls://, with \
                 certificates or a join token",
            ));
        }
        Ok(Self::Tcp(SocketAddr::new(ip, port)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls { host, port } if host.contains(':') => write!(f, "tls://[{host}]:{port}"),
            Self::Tls { host, port } => write!(f, "tls://{host}:{port}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Text that is not an address of a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address of a worker: {why}")]
pub struct AddressError {
    text: String,
    why: &'static str,
}

fn preview(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text_form() {
        for text in [
            "tls://a.example:7070",
            "tls://10.0.0.7:1",
            "tls://[2001:db8::1]:7070",
            "tcp://127.0.0.1:0",
            "tcp://[::1]:9",
            "unix:/run/sandmill.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("unix:///run/s".parse::<Address>().unwrap().to_string(), "unix:/run/s");
        assert_eq!(
            "tcp://localhost:7".parse::<Address>().unwrap().to_string(),
            "tcp://127.0.0.1:7"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("a:7070", "write tls://HOST:PORT"),
            ("http://a:70", "it has to start with"),
            ("tls://a", "it has no port"),
            ("tls://a:", "the port is not a number"),
            ("tls://a:+70", "the port is not a number"),
            ("tls://a:70000", "the port is not a number"),
            ("tls://:70", "the host is not"),
            ("tls://a/b:70", "the host is not"),
            ("tls://[nonsense]:70", "not an IPv6 address"),
            ("tcp://10.0.0.1:70", "use tls://"),
            ("tcp://a.example:70", "takes an IP address"),
            ("unix:run", "has to start with `/`"),
            ("unix:/", "does not name a file"),
        ] {
            let said = text.parse::<Address>().unwrap_err().to_string();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
