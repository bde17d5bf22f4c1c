//! Grants with their parameters filled in.

use sandmill_core::{DirGrant, Grants};

use super::names::Names;
use crate::argument::Located;
use crate::file::{GrantSpec, Setting, beside, directory};

/// Fills in a `[grants]` table, and notes host directories that are not there.
pub(super) fn resolve(names: &mut Names<'_>, spec: &GrantSpec) -> Grants {
    let mut grants = Grants {
        clock: spec.clock,
        random: spec.random,
        net: spec.net.clone(),
        http: spec.http.clone(),
        ..Grants::default()
    };
    for (name, value) in &spec.env {
        if let Some(value) = text(names, value, true) {
            grants.env.insert(name.value.clone(), value);
        }
    }
    for dir in &spec.dirs {
        let Some(host) = text(names, &dir.host, false) else { continue };
        let host = beside(&directory(names.file.source.path()), &host);
        if host.is_dir() {
            grants.dirs.push(DirGrant { host, guest: dir.guest.clone(), access: dir.access });
        } else {
            let problem = if host.exists() { "is not a directory" } else { "does not exist" };
            names.fault(
                &dir.host.place,
                format!("the host directory `{}` {problem}", host.display()),
            );
        }
    }
    grants
}

/// The text of a setting; `any` also takes values that are not strings, in their JSON form.
fn text(names: &mut Names<'_>, setting: &Located<Setting>, any: bool) -> Option<String> {
    match &setting.value {
        Setting::Text(text) => Some(text.clone()),
        Setting::Parameter(reference) => {
            let value = names.parameter_at(reference, &setting.place)?;
            match value.as_str() {
                Some(text) => Some(text.to_owned()),
                None if any => Some(value.to_json_string()),
                None => {
                    let what = format!("`{reference}` is no path, but of kind {}", value.kind());
                    names.fault(&setting.place, what);
                    None
                }
            }
        }
    }
}
