//! What texts in the configuration may say: addresses, names, what a worker allows. Each is checked
//! where it is read, and made into what it stands for again where it is used.

use std::net::SocketAddr;
use std::path::PathBuf;

use sandmill::core::DirCeiling;
use sandmill::scheduler::parse_resource;
use sandmill::transport::Address;
use sandmill::transport::token::Token;
use sandmill::{Access, EngineConfig, HttpGrant, NetGrant};

/// The longest name or label, in bytes.
const MAX_NAME: usize = 200;

/// Anything of its kind.
pub(crate) const ANY: &str = "*";

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The address of a worker.
    Address,
    /// A name or a label.
    Name,
    /// `KEY=NUM`.
    Resource,
    /// The name of an environment variable, or `*`.
    Variable,
    /// `PATH[:ro|:rw]` with an absolute path.
    Directory,
    /// `HOST:PORT` or `*`.
    Peer,
    /// `HOST[:PORT]` or `*`.
    Server,
    /// `IP:PORT`, or a port of this machine alone.
    Socket,
    /// A join token, or `@FILE` for one that is in a file. Never shown.
    Token,
    /// The URLs of an engine's servers, with commas between them. Shown without passwords.
    Engine,
    /// A part of what everything in an engine is named by.
    EnginePart,
}

impl Form {
    /// The text as it is kept.
    pub(crate) fn check(self, text: &str) -> Result<String, String> {
        match self {
            Self::Address => parsed::<Address>(text).map(|address| address.to_string()),
            Self::Name => name(text),
            Self::Resource => {
                parse_resource(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
            }
            Self::Variable if text.contains(['=', '\0']) => {
                Err(format!("`{text}` is not the name of a variable: leave out its value"))
            }
            Self::Variable => name(text),
            Self::Directory => directory(text).map(|_| text.to_owned()),
            Self::Peer | Self::Server if text == ANY => Ok(text.to_owned()),
            Self::Peer => parsed::<NetGrant>(text).map(|_| text.to_owned()),
            Self::Server => parsed::<HttpGrant>(text).map(|_| text.to_owned()),
            Self::Socket => socket(text).map(|socket| socket.to_string()),
            Self::Token => match text.strip_prefix('@') {
                Some("") => Err("after `@` comes a file".to_owned()),
                Some(_) => Ok(text.to_owned()),
                None => parsed::<Token>(text).map(|_| text.trim().to_owned()),
            },
            Self::Engine => EngineConfig::new(text)
                .map(|engine| engine.urls.join(","))
                .map_err(|error| error.to_string()),
            Self::EnginePart => engine_part(text),
        }
    }

    /// What it is, for people.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Address => "tls://HOST:PORT, tcp://127.0.0.1:PORT or unix:/PATH",
            Self::Name => "a name",
            Self::Resource => "KEY=NUM",
            Self::Variable => "the name of a variable, or *",
            Self::Directory => "/PATH, /PATH:ro or /PATH:rw",
            Self::Peer => "HOST:PORT, or *",
            Self::Server => "HOST or HOST:PORT, or *",
            Self::Socket => "IP:PORT, or a port",
            Self::Token => "a join token, or @FILE",
            Self::Engine => "nats://HOST:PORT or tls://HOST:PORT, with commas between several",
            Self::EnginePart => "lower-case letters, digits, - and _",
        }
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!("a name has up to {MAX_NAME} bytes, and no control characters"));
    }
    Ok(text.to_owned())
}

fn engine_part(text: &str) -> Result<String, String> {
    // The address is none that anybody looks at.
    let named = EngineConfig::new("nats://localhost")
        .and_then(|engine| EngineConfig { name: text.to_owned(), ..engine }.check());
    named.map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// The URLs of an engine for people: without passwords.
pub(crate) fn shown_engine(urls: &str) -> String {
    EngineConfig::new(urls).map(|engine| engine.shown()).unwrap_or_else(|_| "(hidden)".to_owned())
}

/// A directory that a worker allows.
pub(crate) fn directory(text: &str) -> Result<DirCeiling, String> {
    let (path, access) = match text.rsplit_once(':') {
        Some((path, "ro")) => (path, Access::ReadOnly),
        Some((path, "rw")) => (path, Access::ReadWrite),
        _ => (text, Access::ReadOnly),
    };
    let host = PathBuf::from(path);
    let plain = |part| !matches!(part, std::path::Component::ParentDir);
    if !host.is_absolute() || !host.components().all(plain) {
        return Err(format!("`{path}` is not an absolute path without `..`"));
    }
    Ok(DirCeiling { host, access })
}

/// Where something is served: a port alone is one of this machine.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| {
        format!("`{text}` is not IP:PORT, such as 127.0.0.1:7071, and not a port alone")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_as_they_stand_and_wrong_ones_say_why() {
        for (form, text, kept) in [
            (Form::Address, "tcp://localhost:7", "tcp://127.0.0.1:7"),
            (Form::Name, "gpu", "gpu"),
            (Form::Resource, "gpu=1.5", "gpu=1.5"),
            (Form::Variable, "*", "*"),
            (Form::Directory, "/data:rw", "/data:rw"),
            (Form::Peer, "*", "*"),
            (Form::Server, "example.org", "example.org"),
            (Form::Socket, "7071", "127.0.0.1:7071"),
            (Form::Socket, "0.0.0.0:1", "0.0.0.0:1"),
            (Form::Token, "@token", "@token"),
            (Form::Engine, "nats://u:p@a:1, tls://b", "nats://u:p@a:1,tls://b"),
            (Form::EnginePart, "blue_1", "blue_1"),
        ] {
            assert_eq!(form.check(text).as_deref(), Ok(kept), "{text}");
        }
        for (form, text, words) in [
            (Form::Address, "tcp://10.0.0.1:7", "use tls://"),
            (Form::Name, "", "empty"),
            (Form::Resource, "gpu", "gpu"),
            (Form::Variable, "A=1", "leave out"),
            (Form::Directory, "data", "absolute"),
            (Form::Directory, "/data/../etc", "absolute"),
            (Form::Peer, "a", "port"),
            (Form::Socket, "a:1", "IP:PORT"),
            (Form::Token, "@", "a file"),
            (Form::Token, "secret", "join token"),
            (Form::Engine, "u:sesame@a:1", "nats://"),
            (Form::EnginePart, "Blue", "lower-case"),
        ] {
            let said = form.check(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
        assert!(!Form::Token.check("smj1.1.sesame.x").unwrap_err().contains("sesame"));
        assert!(!Form::Engine.check("u:sesame@a:1").unwrap_err().contains("sesame"));
        assert_eq!(shown_engine("nats://u:sesame@a:1"), "nats://a:1");
    }
}
