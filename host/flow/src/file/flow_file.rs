//! A flow file: the tables at its top, and what is read of each.

use std::path::{Path, PathBuf};

use sandmill_core::LimitOverrides;
use toml::de::DeTable;

use super::component::{self, ComponentSpec};
use super::grants::{self, GrantSpec};
use super::header::{self, Header};
use super::limits;
use super::reader::{Node, Reader};
use super::task::{self, TaskSpec};
use crate::argument::Located;
use crate::fault::{Fault, Faults, Source};
use crate::parameter::{self, ParameterSpec};
use crate::reference::PARAMETERS;

/// Largest flow file: 1 MiB.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Most tasks of a flow. A mapped task is one, however often it runs.
pub const MAX_TASKS: usize = 1_000;
/// Most components of a flow.
pub const MAX_COMPONENTS: usize = 256;
/// Most parameters of a flow.
pub const MAX_PARAMETERS: usize = 256;

const KEYS: [&str; 6] = ["flow", "components", "parameters", "limits", "grants", "tasks"];

/// A flow file as it was read. [`FlowFile::check`] makes a plan of it.
#[derive(Debug, Clone)]
pub struct FlowFile {
    pub(crate) source: Source,
    /// Faults found so far; the check adds its own.
    pub(crate) faults: Vec<Fault>,
    /// Whether there were syntax errors: then what seems to be missing may just not be read.
    pub(crate) broken: bool,
    pub(crate) header: Header,
    pub(crate) components: Vec<ComponentSpec>,
    pub(crate) parameters: Vec<ParameterSpec>,
    pub(crate) limits: LimitOverrides,
    pub(crate) grants: GrantSpec,
    pub(crate) tasks: Vec<TaskSpec>,
    /// Names of tasks that are there but could not be read.
    pub(crate) unread_tasks: Vec<String>,
    /// The same of components.
    pub(crate) unread_components: Vec<String>,
    /// The same of parameters.
    pub(crate) unread_parameters: Vec<String>,
}

impl FlowFile {
    /// Reads a flow file. `path` is for relative paths in it and for messages; nothing is opened.
    ///
    /// # Errors
    /// Everything that is wrong with the text by itself: syntax, unknown keys, values of the wrong
    /// kind. To have these together with what [`FlowFile::check`] finds, use [`FlowFile::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, Faults> {
        let file = Self::read(path, text);
        if file.faults.is_empty() { Ok(file) } else { Err(file.faults()) }
    }

    /// As [`FlowFile::parse`], keeping the faults for [`FlowFile::check`] to report with its own.
    #[must_use]
    pub fn read(path: &Path, text: &str) -> Self {
        if text.len() > MAX_FILE_BYTES {
            let source = Source::new(path, "");
            let what = format!(
                "the file has {} bytes; a flow file has at most {MAX_FILE_BYTES}",
                text.len()
            );
            let mut reader = Reader { source, faults: Vec::new() };
            reader.fault(&(0..0), what);
            return Self::assemble(reader, &DeTable::new(), true);
        }
        let mut reader = Reader { source: Source::new(path, text), faults: Vec::new() };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let end = text.len()..text.len();
            let place = error.span().unwrap_or(end);
            reader.fault(&place, format!("not TOML: {}", error.message().trim()));
        }
        Self::assemble(reader, root.get_ref(), !errors.is_empty())
    }

    fn assemble(mut reader: Reader, root: &DeTable<'_>, broken: bool) -> Self {
        reader.only(root, &KEYS, "the flow file");
        let header = header::read(&mut reader, root);
        let (mut components, mut unread_components) = (Vec::new(), Vec::new());
        for (name, node) in section(&mut reader, root, "components", "component", MAX_COMPONENTS) {
            let key = name.value.clone();
            match component::read(&mut reader, name, node) {
                Some(component) => components.push(component),
                None => unread_components.push(key),
            }
        }
        let (mut parameters, mut unread_parameters) = (Vec::new(), Vec::new());
        for (name, node) in section(&mut reader, root, PARAMETERS, "parameter", MAX_PARAMETERS) {
            let key = name.value.clone();
            match parameter::read(&mut reader, name, node) {
                Some(parameter) => parameters.push(parameter),
                None => unread_parameters.push(key),
            }
        }
        let limits = root.get("limits").map(|node| limits::read(&mut reader, node, "the limits"));
        let grants = root.get("grants").map(|node| grants::read(&mut reader, node, "the grants"));
        let (mut tasks, mut unread_tasks) = (Vec::new(), Vec::new());
        for (name, node) in section(&mut reader, root, "tasks", "task", MAX_TASKS) {
            if name.value == PARAMETERS {
                let hint = "references to parameters begin with this word: take another";
                reader.hinted(&name.place, "no task can have the name `parameters`", hint);
            }
            let key = name.value.clone();
            match task::read(&mut reader, name, node) {
                Some(task) => tasks.push(task),
                None => unread_tasks.push(key),
            }
        }
        if tasks.is_empty() && unread_tasks.is_empty() {
            reader.missing(
                &(0..0),
                "the flow has no tasks",
                "write a table [tasks.NAME] with a `call`",
            );
        }
        let Reader { source, mut faults } = reader;
        if broken {
            faults.retain(|fault| !fault.is_of_absence());
        }
        Self {
            source,
            faults,
            broken,
            header,
            components,
            parameters,
            limits: limits.unwrap_or_default(),
            grants: grants.unwrap_or_default(),
            tasks,
            unread_tasks,
            unread_components,
            unread_parameters,
        }
    }

    /// The faults found so far.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(self.source.path(), self.faults.clone())
    }

    /// The flow's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.header.name
    }

    /// Whether something is called when the flow ends, however.
    #[must_use]
    pub const fn has_on_exit(&self) -> bool {
        self.header.on_exit.is_some()
    }

    /// What the flow does.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.header.description.as_deref()
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// The components, in the order of the file.
    #[must_use]
    pub fn components(&self) -> &[ComponentSpec] {
        &self.components
    }

    /// The parameters, in the order of the file.
    #[must_use]
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
    }

    /// The tasks, in the order of the file.
    #[must_use]
    pub fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }
}

/// The directory of a flow file: what its relative paths start from.
pub(crate) fn directory(file: &Path) -> PathBuf {
    file.parent().map(Path::to_owned).unwrap_or_default()
}

/// The entries of one of the tables of named things, in the order of the file.
fn section<'a, 'i>(
    reader: &mut Reader,
    root: &'a DeTable<'i>,
    key: &str,
    of: &str,
    most: usize,
) -> Vec<(Located<String>, &'a Node<'i>)> {
    let Some(node) = root.get(key) else { return Vec::new() };
    let Some(table) = reader.table(node, &format!("`{key}`")) else { return Vec::new() };
    if table.len() > most {
        let place = root.get_key_value(key).map_or(0..0, |(key, _)| key.span());
        reader.fault(&place, format!("a flow has at most {most} {key}, not {}", table.len()));
    }
    let mut entries: Vec<_> =
        table.iter().take(most).map(|(key, node)| (reader.name(key, of), node)).collect();
    // A table may be reopened further down the file; its key says where it began.
    entries.sort_by_key(|(name, _)| name.place.start);
    entries
}
