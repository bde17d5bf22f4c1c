//! `sandmill inspect`: what is in a component.

use std::path::PathBuf;

use clap::Args;
use sandmill::core::units::format_size;
use sandmill::{Component, ComponentInfo, TaskDescriptor};
use serde::Serialize;
use serde_json::Value as Json;

use crate::config::{Config, ExecutorKind};
use crate::error::Result;
use crate::output::{Results, Table, Ui, escape};
use crate::session::Opening;
use crate::{exit_code, schema, session};

/// The interface through which a guest reads its run's id, attempt, map index and deadline.
const CONTEXT: &str = "sandmill:task/context";

const EXAMPLES: &str = "\
Examples:
  sandmill inspect census.wasm
  sandmill inspect census.wasm --output json | jq '.tasks[].name'

What is marked as a flow is run with `sandmill run COMPONENT#NAME`.";

/// Shows what is in a component: tasks, schemas, imports, whether it is pure, digest, sizes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    /// The component: a .wasm file.
    component: PathBuf,
}

/// A component in JSON: `docs/schemas/inspect.json`.
#[derive(Serialize)]
struct InspectJson<'a> {
    origin: &'a str,
    digest: String,
    size_bytes: usize,
    imports: &'a [String],
    purity: Purity,
    tasks: Vec<TaskJson<'a>>,
}

/// Whether the result of a run follows from component, task and arguments alone.
#[derive(Serialize)]
struct Purity {
    /// Whether it always does, as long as nothing is granted.
    pure: bool,
    /// Whether a run may read its context, and its result then follow from more.
    may_read_context: bool,
    /// The kinds of grants that would give the component something: `clock`, `dirs`, ….
    grants_of_use: Vec<&'static str>,
}

#[derive(Serialize)]
struct TaskJson<'a> {
    name: &'a str,
    /// Whether it is a flow: `sandmill run COMPONENT#NAME`.
    flow: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<&'a str>,
    parameters: Json,
    result: Json,
}

/// Shows what is in the component.
pub(crate) fn inspect(args: &InspectArgs, ui: &Ui, config: &Config) -> Result<u8> {
    let component = session::load(&args.component)?;
    let host = Opening::new(config, ExecutorKind::Inline).open()?;
    let info = session::inspect(&host, &component)?;
    if ui.is_json() {
        let schema = |text: &str| serde_json::from_str(text).unwrap_or(Json::Bool(true));
        let task = |task: &'_ TaskDescriptor| (schema(&task.parameters), schema(&task.result));
        let json = InspectJson {
            origin: component.origin(),
            digest: component.digest().to_string(),
            size_bytes: component.bytes().len(),
            imports: &info.imports,
            purity: purity(&info.imports),
            tasks: info
                .tasks
                .iter()
                .map(|descriptor| {
                    let (parameters, result) = task(descriptor);
                    let doc = descriptor.doc.as_deref();
                    let (name, flow) = (&descriptor.name, info.is_flow(&descriptor.name));
                    TaskJson { name, flow, doc, parameters, result }
                })
                .collect(),
        };
        Results::new(ui).json(&json)?;
    } else {
        Results::new(ui).print(&text(&component, &info))?;
    }
    Ok(exit_code::SUCCESS)
}

fn purity(imports: &[String]) -> Purity {
    let may_read_context = imports.iter().any(|import| import.starts_with(CONTEXT));
    let needs = [
        ("clock", "wasi:clocks/"),
        ("random", "wasi:random/"),
        ("env", "wasi:cli/environment"),
        ("dirs", "wasi:filesystem/"),
        ("net", "wasi:sockets/"),
        ("http", "wasi:http/"),
    ];
    let grants_of_use = needs
        .into_iter()
        .filter(|(_, prefix)| imports.iter().any(|import| import.starts_with(prefix)))
        .map(|(grant, _)| grant)
        .collect();
    Purity { pure: !may_read_context, may_read_context, grants_of_use }
}

fn text(component: &Component, info: &ComponentInfo) -> String {
    let bold = console::Style::new().bold();
    let dim = console::Style::new().dim();
    let Purity { pure, grants_of_use, .. } = purity(&info.imports);
    let mut head = Table::default();
    head.row(["component".to_owned(), escape::line(component.origin()).into_owned()]);
    head.row(["digest".to_owned(), component.digest().to_string()]);
    head.row(["size".to_owned(), format_size(component.bytes().len() as u64)]);
    let pure = if pure {
        "yes, unless granted something"
    } else {
        "unless it reads its context (it can), or is granted something"
    };
    head.row(["pure".to_owned(), pure.to_owned()]);
    let of_use = match grants_of_use.join(", ") {
        none if none.is_empty() => "none: it imports nothing that a grant would open".to_owned(),
        some => some,
    };
    head.row(["grants of use".to_owned(), of_use]);
    let mut lines = head.lines("");
    for task in &info.tasks {
        lines.push(String::new());
        let parameters = schema::parameters(&task.parameters).unwrap_or_default();
        let signature: Vec<&str> =
            parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let kind = if info.is_flow(&task.name) { "flow " } else { "" };
        lines.push(format!(
            "{kind}{}({}) -> {}",
            bold.apply_to(escape::line(&task.name)),
            escape::line(&signature.join(", ")),
            escape::line(&schema::result_type(&task.result))
        ));
        if let Some(doc) = &task.doc {
            lines.extend(
                escape::block(doc).lines().map(|line| format!("  {line}").trim_end().to_owned()),
            );
        }
        let mut table = Table::default();
        for parameter in &parameters {
            let need = match (&parameter.default, parameter.required) {
                (Some(default), _) => format!("default {default}"),
                (None, true) => "required".to_owned(),
                (None, false) => "optional".to_owned(),
            };
            let doc = parameter.doc.as_deref().unwrap_or_default();
            let doc = doc.lines().next().unwrap_or_default();
            table.row([
                escape::line(&parameter.name).into_owned(),
                escape::line(&parameter.r#type).into_owned(),
                dim.apply_to(escape::line(&need)).to_string(),
                escape::line(doc).into_owned(),
            ]);
        }
        lines.extend(table.lines("    "));
    }
    lines.push(String::new());
    lines.push(bold.apply_to("imports").to_string());
    lines.extend(info.imports.iter().map(|import| format!("  {}", escape::line(import))));
    if info.imports.is_empty() {
        lines.push("  nothing".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn purity_follows_from_the_imports() {
        let imports =
            ["wasi:clocks/wall-clock@0.2.6".to_owned(), "wasi:cli/stderr@0.2.6".to_owned()];
        let purity = super::purity(&imports);
        assert!(purity.pure && !purity.may_read_context);
        assert_eq!(purity.grants_of_use, ["clock"]);
        assert!(!super::purity(&["sandmill:task/context@0.1.0".to_owned()]).pure);
    }
}
