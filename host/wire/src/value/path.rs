//! Finding a field by a dotted path, with an error that names what was there instead.

use super::error::ValueError;
use super::handle::Value;
use super::keys::preview_text;
use super::kind::Kind;

/// Keys of a map that an error text names.
const KEYS_SHOWN: usize = 8;

impl Value {
    /// The value at a path such as `files.0.name`: steps parted by dots, each a string key of a
    /// map or an index of an array. The empty path is the value itself. A key with a dot in it
    /// cannot be reached this way; use [`get`](Self::get).
    ///
    /// # Errors
    /// If a step finds nothing; the error names the step and what was there.
    pub fn path(&self, path: &str) -> Result<Self, ValueError> {
        let mut here = self.clone();
        if path.is_empty() {
            return Ok(here);
        }
        let mut walked = 0;
        for step in path.split('.') {
            walked += step.len();
            let found = match here.kind() {
                Kind::Map => here.get(step).ok_or_else(|| missing_key(&here, step)),
                Kind::Array => element(&here, step),
                other => Err(format!("a value of kind {other} has no {}", preview_text(step))),
            };
            here = found.map_err(|problem| ValueError::NoSuchPath {
                path: path.get(..walked).unwrap_or(path).to_owned(),
                problem,
            })?;
            walked += 1;
        }
        Ok(here)
    }
}

fn element(array: &Value, step: &str) -> Result<Value, String> {
    let count = array.len().unwrap_or(0);
    let plain = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    match step.parse::<usize>() {
        Ok(index) if plain => {
            array.at(index).ok_or_else(|| format!("the array has {count} elements, counted from 0"))
        }
        _ => {
            Err(format!("an array of {count} elements takes an index, not {}", preview_text(step)))
        }
    }
}

fn missing_key(map: &Value, step: &str) -> String {
    let step = preview_text(step);
    let count = map.len().unwrap_or(0);
    if count == 0 {
        return format!("the map is empty and has no key {step}");
    }
    let keys: Vec<String> = map
        .entries()
        .into_iter()
        .flatten()
        .take(KEYS_SHOWN)
        .map(|(key, _)| key.as_str().map_or_else(|| format!("({})", key.kind()), preview_text))
        .collect();
    let more = if count > keys.len() { ", …" } else { "" };
    format!("the map has no key {step}; it has {}{more}", keys.join(", "))
}
