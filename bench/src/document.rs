//! The part of `docs/performance.md` that this program writes: tables between two marks, and
//! pictures beside the document.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::plot;
use crate::report::{Form, Report};

/// What is between these lines is this program's.
const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";
/// The pictures, beside the document.
const GROWTH: &str = "performance-growth.svg";
const LAYERS: &str = "performance-layers.svg";

/// Writes it into the document.
pub(crate) fn write(report: &Report, path: &Path) -> Result<()> {
    let document = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let mut part = format!("Made by `{}` on {}.\n", report.command, report.machine.line());
    part.extend(report.machine.caution().map(|caution| format!("\n**{caution}**\n")));
    let pictures = [
        (
            GROWTH,
            "how the cost of a run grows with the length of a map",
            plot::growth(&report.steps),
        ),
        (LAYERS, "what each layer adds to a run", plot::stacked(&report.layers)),
    ];
    for (name, what, picture) in pictures {
        if let Some(picture) = picture {
            std::fs::write(path.with_file_name(name), picture)?;
            part.push_str(&format!("\n![{what}]({name})\n"));
        }
    }
    part.push_str(&report.tables(Form::Markdown));
    let document = put(&document, &part).with_context(|| {
        format!("{} has to have the lines `{BEGIN}` and `{END}`", path.display())
    })?;
    Ok(std::fs::write(path, document)?)
}

/// The document with this between the marks.
fn put(document: &str, part: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", part.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_written() {
        let document = format!("# A\n{BEGIN}\nold\n{END}\nlast\n");
        let put = put(&document, "new\n").unwrap();
        assert_eq!(put, format!("# A\n{BEGIN}\nnew\n{END}\nlast\n"));
        assert_eq!(super::put("no marks", "new"), None);
    }
}
