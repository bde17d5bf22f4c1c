//! `[components.NAME]` tables.

use std::path::PathBuf;

use sandmill_wire::Digest;

use super::grants::beside;
use super::reader::{Node, Reader};
use crate::argument::Located;

/// A `[components.NAME]` table.
#[derive(Debug, Clone)]
pub struct ComponentSpec {
    /// The flow's name for it.
    pub name: Located<String>,
    /// Where its bytes are; a relative path is taken from the directory of the flow file.
    pub path: Located<PathBuf>,
    /// The digest that the bytes must have.
    pub digest: Option<Located<Digest>>,
    /// How to make the bytes from source.
    pub build: Option<Located<Build>>,
}

/// How to make a component from source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Build {
    /// This cargo package; what comes of it is copied to the component's path.
    Crate(PathBuf),
    /// A command of the user's, which leaves the component at its path.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// Where it is run.
        directory: PathBuf,
    },
}

const KEYS: [&str; 3] = ["path", "digest", "build"];
const BUILD_KEYS: [&str; 3] = ["crate", "command", "directory"];

/// Reads one component. None when it has no path.
pub(super) fn read(
    reader: &mut Reader,
    name: Located<String>,
    node: &Node<'_>,
) -> Option<ComponentSpec> {
    let of = format!("component `{}`", name.value);
    let table = reader.table(node, &of)?;
    reader.only(table, &KEYS, &of);
    let directory = super::directory(reader.source.path());
    let digest = table.get("digest").and_then(|node| reader.parsed::<Digest>(node, "`digest`"));
    let build = table.get("build").and_then(|node| build(reader, node, &directory));
    let Some(path) = table.get("path") else {
        reader.missing(&name.place, format!("{of} has no `path`"), "write path = \"FILE.wasm\"");
        return None;
    };
    let path = reader.string(path, "`path`")?;
    let path = Located::new(beside(&directory, &path.value), path.place);
    Some(ComponentSpec { name, path, digest, build })
}

fn build(reader: &mut Reader, node: &Node<'_>, base: &std::path::Path) -> Option<Located<Build>> {
    let table = reader.table(node, "`build`")?;
    reader.only(table, &BUILD_KEYS, "`build`");
    let build = match (table.get("crate"), table.get("command")) {
        (Some(package), None) => {
            if let Some(directory) = table.get("directory") {
                reader
                    .fault(&directory.span(), "`directory` goes with `command`, not with `crate`");
            }
            Build::Crate(beside(base, &reader.string(package, "`crate`")?.value))
        }
        (None, Some(command)) => {
            let words: Vec<String> =
                reader.strings(command, "`command`").into_iter().map(|word| word.value).collect();
            if words.is_empty() {
                reader.hinted(
                    &command.span(),
                    "the command is empty",
                    "write command = [\"make\", \"x\"]",
                );
                return None;
            }
            let directory = match table.get("directory") {
                Some(node) => beside(base, &reader.string(node, "`directory`")?.value),
                None => base.to_owned(),
            };
            Build::Command { command: words, directory }
        }
        _ => {
            let hint = "write { crate = \".\" } or { command = [\"make\", \"x\"] }";
            reader.hinted(&node.span(), "`build` has either `crate` or `command`", hint);
            return None;
        }
    };
    Some(Located::new(build, node.span()))
}
