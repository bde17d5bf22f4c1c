//! `[grants]` tables: what a task may reach, with parameters still unresolved.

use std::path::PathBuf;

use sandmill_core::{Access, HttpGrant, NetGrant};
use toml::de::DeValue;

use super::reader::{Node, Reader};
use crate::argument::Located;
use crate::reference::Reference;

/// A `[grants]` table, with its parameters to be filled in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GrantSpec {
    /// The real clocks.
    pub clock: bool,
    /// The system's randomness.
    pub random: bool,
    /// Environment variables.
    pub env: Vec<(Located<String>, Located<Setting>)>,
    /// Directories of the host.
    pub dirs: Vec<DirSpec>,
    /// TCP and UDP peers.
    pub net: Vec<NetGrant>,
    /// Servers for outgoing HTTP requests.
    pub http: Vec<HttpGrant>,
}

/// A text in a grant: written out, or a parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// Written out.
    Text(String),
    /// The value of a parameter.
    Parameter(Reference),
}

/// A directory of the host.
#[derive(Debug, Clone, PartialEq)]
pub struct DirSpec {
    /// Where it is on the host.
    pub host: Located<Setting>,
    /// Where the guest finds it.
    pub guest: String,
    /// What the guest may do there.
    pub access: Access,
}

const KEYS: [&str; 6] = ["clock", "random", "env", "dirs", "net", "http"];
const DIR_KEYS: [&str; 3] = ["host", "guest", "access"];

/// Reads a `[grants]` table. What does not fit is left out, and noted.
pub(super) fn read(reader: &mut Reader, node: &Node<'_>, of: &str) -> GrantSpec {
    let mut grants = GrantSpec::default();
    let Some(table) = reader.table(node, of) else { return grants };
    reader.only(table, &KEYS, of);
    if let Some(node) = table.get("clock") {
        grants.clock = reader.boolean(node, "`clock`").unwrap_or(false);
    }
    if let Some(node) = table.get("random") {
        grants.random = reader.boolean(node, "`random`").unwrap_or(false);
    }
    if let Some(env) = table.get("env").and_then(|node| reader.table(node, "`env`")) {
        for (key, value) in env {
            let name: &str = key.get_ref();
            if name.is_empty() || name.contains(['=', '\0']) {
                reader.fault(&key.span(), format!("`{name}` cannot name an environment variable"));
            } else if let Some(setting) = setting(reader, value, "an environment variable") {
                grants.env.push((Located::new(name.to_owned(), key.span()), setting));
            }
        }
    }
    if let Some(node) = table.get("dirs") {
        let dirs: Vec<_> =
            reader.array(node, "`dirs`").iter().filter_map(|node| dir(reader, node)).collect();
        grants.dirs = dirs;
    }
    if let Some(node) = table.get("net") {
        let items = reader.array(node, "`net`").iter();
        grants.net =
            items.filter_map(|item| Some(reader.parsed(item, "a network peer")?.value)).collect();
    }
    if let Some(node) = table.get("http") {
        let items = reader.array(node, "`http`").iter();
        grants.http =
            items.filter_map(|item| Some(reader.parsed(item, "an HTTP server")?.value)).collect();
    }
    grants
}

fn dir(reader: &mut Reader, node: &Node<'_>) -> Option<DirSpec> {
    let table = reader.table(node, "a directory grant")?;
    reader.only(table, &DIR_KEYS, "the directory grant");
    let mut required = |key: &str| {
        let node_at = table.get(key);
        if node_at.is_none() {
            let hint = "write { host = \"data\", guest = \"/data\", access = \"read-only\" }";
            reader.missing(&node.span(), format!("the directory grant has no `{key}`"), hint);
        }
        node_at
    };
    let (host, guest) = (required("host"), required("guest"));
    let host = setting(reader, host?, "the host directory");
    let guest = reader.string(guest?, "the guest directory");
    let access = match table.get("access") {
        None => Access::default(),
        Some(node) => {
            let text = reader.string(node, "`access`")?;
            match text.value.as_str() {
                "read-only" | "ro" => Access::ReadOnly,
                "read-write" | "rw" => Access::ReadWrite,
                other => {
                    let what = format!("unknown access `{other}`");
                    reader.hinted(&text.place, what, "write `read-only` or `read-write`");
                    return None;
                }
            }
        }
    };
    let (host, guest) = (host?, guest?);
    if !guest.value.starts_with('/') {
        let what = format!("the guest directory `{}` is not absolute", guest.value);
        reader.hinted(&guest.place, what, "the guest sees it under a path that starts with `/`");
        return None;
    }
    Some(DirSpec { host, guest: guest.value, access })
}

fn setting(reader: &mut Reader, node: &Node<'_>, of: &str) -> Option<Located<Setting>> {
    if let DeValue::Table(table) = node.get_ref() {
        reader.only(table, &["from"], of);
        let Some(from) = table.get("from") else {
            if table.is_empty() {
                reader.fault(
                    &node.span(),
                    format!("{of} is a string or {{ from = \"parameters.NAME\" }}"),
                );
            }
            return None;
        };
        let reference = reader.reference(from, "`from`")?;
        if reference.value.task().is_some() {
            let what = "grants are known before anything runs, so they take parameters only";
            reader.hinted(&reference.place, what, "write `parameters.NAME`");
            return None;
        }
        return Some(Located::new(Setting::Parameter(reference.value), reference.place));
    }
    let text = reader.string(node, of)?;
    Some(Located::new(Setting::Text(text.value), text.place))
}

/// A path of the file's, from the directory that the file is in.
pub(crate) fn beside(directory: &std::path::Path, path: &str) -> PathBuf {
    let joined = directory.join(path);
    if joined.as_os_str().is_empty() { PathBuf::from(".") } else { joined }
}
