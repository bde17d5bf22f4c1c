//! A look at a component's bytes before they are compiled: is it one at all, and is it of a size
//! that a task has. Whether it is valid is for the compiler to say.

use wasmparser::{Encoding, Parser, Payload};

/// Bytes of a component.
pub const MAX_COMPONENT_BYTES: usize = 32 << 20;
/// Imports of a component, and of each component in it. Modules in it may have more.
pub const MAX_IMPORTS: u32 = 1_000;
/// Exports of a component, and of each component in it. Modules in it may have more.
pub const MAX_EXPORTS: u32 = 1_000;
/// Modules and components inside of one component.
pub const MAX_NESTED: usize = 64;
/// Bytes of one function.
pub const MAX_FUNCTION_BYTES: usize = 1 << 20;
/// Imports and exports of one core module: linked Python components have thousands.
const MAX_MODULE_ITEMS: u32 = 100_000;

/// Looks at the bytes.
///
/// # Errors
/// The words of a refusal: what the bytes are instead of a component, or what there is too much of.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(format!(
            "the component has {} bytes, the limit is {MAX_COMPONENT_BYTES}",
            bytes.len()
        ));
    }
    kind(bytes)?;
    let mut nested = 0;
    // Modules and components that are open at this point, outermost first.
    let mut open: Vec<Level> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| malformed(&error, bytes.len()))?;
        match payload {
            Payload::Version { encoding, .. } => {
                open.push(Level { is_module: encoding == Encoding::Module, ..Level::default() });
            }
            Payload::End(_) => {
                open.pop();
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                nested += 1;
                if nested > MAX_NESTED {
                    return Err(format!(
                        "the component has more than {MAX_NESTED} modules and components inside"
                    ));
                }
            }
            Payload::ImportSection(section) => count_imports(&mut open, section.count())?,
            Payload::ComponentImportSection(section) => count_imports(&mut open, section.count())?,
            Payload::ExportSection(section) => count_exports(&mut open, section.count())?,
            Payload::ComponentExportSection(section) => count_exports(&mut open, section.count())?,
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                if range.len() > MAX_FUNCTION_BYTES {
                    return Err(format!(
                        "the function at byte {} has {} bytes, the limit is {MAX_FUNCTION_BYTES}",
                        range.start,
                        range.len()
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What was counted of one module or component, over all its sections.
#[derive(Default)]
struct Level {
    is_module: bool,
    imports: u32,
    exports: u32,
}

fn count_imports(open: &mut [Level], more: u32) -> Result<(), String> {
    let Some(level) = open.last_mut() else { return Ok(()) };
    level.imports = level.imports.saturating_add(more);
    at_most("imports", level.imports, if level.is_module { MAX_MODULE_ITEMS } else { MAX_IMPORTS })
}

fn count_exports(open: &mut [Level], more: u32) -> Result<(), String> {
    let Some(level) = open.last_mut() else { return Ok(()) };
    level.exports = level.exports.saturating_add(more);
    at_most("exports", level.exports, if level.is_module { MAX_MODULE_ITEMS } else { MAX_EXPORTS })
}

fn at_most(what: &str, count: u32, limit: u32) -> Result<(), String> {
    if count > limit {
        return Err(format!("the component has more than {limit} {what}"));
    }
    Ok(())
}

/// Says what the bytes are when they do not begin as a component does.
fn kind(bytes: &[u8]) -> Result<(), String> {
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        return Err("this is a core module, not a component: build it with \
                    `cargo build --target wasm32-wasip2` or `cargo component build`"
            .to_owned());
    }
    Err(match bytes {
        [] => "the file is empty, not a component".to_owned(),
        _ if bytes.len() < 8 && bytes.iter().zip(b"\0asm").all(|(is, due)| is == due) => {
            format!("the component is truncated at byte {}", bytes.len())
        }
        [b'\0', b'a', b's', b'm', ..] => {
            "this is WebAssembly of a version that this host does not know".to_owned()
        }
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            "this is WebAssembly text, not a component: turn it into binary with \
             `wasm-tools parse`"
                .to_owned()
        }
        [0x7f, b'E', b'L', b'F', ..] => {
            "this is a native program or compiled code, not a component".to_owned()
        }
        _ => "this is not a WebAssembly component: it does not begin with `\\0asm`".to_owned(),
    })
}

fn malformed(error: &wasmparser::BinaryReaderError, length: usize) -> String {
    let text = error.to_string();
    if text.contains("unexpected end") {
        format!("the component is truncated at byte {length}")
    } else {
        format!("the component is malformed at byte {}: {}", error.offset(), error.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(wat: &str) -> String {
        check(&wat::parse_str(wat).unwrap()).unwrap_err()
    }

    #[test]
    fn what_is_no_component_is_named() {
        assert!(check(b"").unwrap_err().contains("empty"));
        assert!(check(b"(module)").unwrap_err().contains("text"));
        assert!(check(b"#!/bin/sh").unwrap_err().contains("not a WebAssembly component"));
        assert!(check(b"\0asm\x09\0\0\0").unwrap_err().contains("version"));
        assert!(refusal("(module)").contains("core module"));
        check(&wat::parse_str("(component)").unwrap()).unwrap();
    }

    #[test]
    fn every_truncation_is_refused_or_harmless() {
        let bytes = wat::parse_str(
            "(component (core module (func (export \"f\") (result i32) i32.const 1)))",
        )
        .unwrap();
        check(&bytes).unwrap();
        for length in 0..bytes.len() {
            // A cut between two sections leaves a smaller component, or one that lacks a section.
            if let Err(reason) = check(&bytes[..length]) {
                let words = ["truncated", "empty", "malformed"];
                assert!(words.iter().any(|word| reason.contains(word)), "{reason}");
            }
        }
        assert_eq!(check(&bytes[..20]).unwrap_err(), "the component is truncated at byte 20");
    }

    #[test]
    fn there_is_a_limit_to_everything() {
        let modules = "(core module)".repeat(MAX_NESTED + 1);
        assert!(refusal(&format!("(component {modules})")).contains("64 modules"));
        let imports: String =
            (0..=MAX_IMPORTS).map(|i| format!("(import \"f{i}\" (func))")).collect();
        assert!(refusal(&format!("(component {imports})")).contains("more than 1000 imports"));
        let body = "nop ".repeat(MAX_FUNCTION_BYTES);
        let reason = refusal(&format!("(component (core module (func {body})))"));
        assert!(reason.contains("the limit is 1048576"), "{reason}");
        assert!(check(&vec![0; MAX_COMPONENT_BYTES + 1]).unwrap_err().contains("33554433 bytes"));
    }
}
