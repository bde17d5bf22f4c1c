//! A result as people want to see it on a terminal: indented JSON, and a list of alike records as
//! a table, also inside a record. Programs get JSON, whatever it looks like.

use sandmill::Value;
use serde_json::Value as Json;

use super::escape;
use super::table::Table;
use crate::text::thousands;

/// Most rows of a table that are shown.
const SHOWN_ROWS: usize = 100;
/// Most columns of a list that is shown as a table.
const MOST_COLUMNS: usize = 12;
/// Most characters of a cell of a list that is shown as a table.
const MOST_CELL: usize = 60;

/// The value for people. `terminal`: whether it is for their eyes, not for a file or a pipe.
pub(crate) fn value_for_people(value: &Value, terminal: bool) -> String {
    if !terminal {
        return value.to_json_string();
    }
    let text = value.to_json_string_pretty();
    let json = serde_json::from_str(&text).ok();
    match json.and_then(|json| table(&json).or_else(|| sections(&json))) {
        Some(lines) => lines.join("\n"),
        // JSON itself writes out C0 controls, but neither C1 ones nor those that turn text around.
        None => escape::block(&text).into_owned(),
    }
}

/// The lines of a record that holds at least one table, and besides only what fits a line.
fn sections(json: &Json) -> Option<Vec<String>> {
    let fields = json.as_object().filter(|fields| fields.len() <= MOST_COLUMNS)?;
    let mut lines = Vec::new();
    let mut tables = 0;
    for (name, value) in fields {
        let name = escape::line(name);
        if let Some(text) = cell(value) {
            lines.push(format!("{name}: {text}"));
        } else if let Some(rows) = table(value) {
            tables += 1;
            lines.push(format!("{name}:"));
            lines.extend(rows.into_iter().map(|row| format!("  {row}")));
        } else {
            let own = value.as_object()?;
            let cells: Option<Vec<String>> = own
                .iter()
                .map(|(name, value)| Some(format!("{} {}", escape::line(name), cell(value)?)))
                .collect();
            lines.push(format!("{name}: {}", cells?.join(", ")));
        }
    }
    (tables > 0).then_some(lines)
}

/// The lines of a table, where the value is a list of records with the same plain fields.
fn table(json: &Json) -> Option<Vec<String>> {
    let rows = json.as_array().filter(|rows| rows.len() > 1)?;
    let first = rows.first()?.as_object()?;
    let names: Vec<&String> = first.keys().collect();
    if names.is_empty() || names.len() > MOST_COLUMNS {
        return None;
    }
    let mut cells = Vec::with_capacity(rows.len().min(SHOWN_ROWS));
    for row in rows {
        let row = row.as_object()?;
        if row.len() != names.len() {
            return None;
        }
        let row: Option<Vec<String>> = names.iter().map(|name| cell(row.get(*name)?)).collect();
        let row = row?;
        if cells.len() < SHOWN_ROWS {
            cells.push(row);
        }
    }
    let numbers: Vec<usize> = (0..names.len())
        .filter(|column| rows.iter().all(|row| row[names[*column].as_str()].is_number()))
        .collect();
    let mut table = Table::right_aligned(numbers);
    table.row(names.iter().map(|name| escape::line(name).into_owned()));
    cells.into_iter().for_each(|row| table.row(row));
    let mut lines = table.lines("");
    if rows.len() > SHOWN_ROWS {
        let more = thousands((rows.len() - SHOWN_ROWS) as u64);
        lines.push(format!("… and {more} more rows (`--output json` has all of them)"));
    }
    Some(lines)
}

/// A plain field as a cell; none where it is not plain, or too long for a table.
fn cell(json: &Json) -> Option<String> {
    let text = match json {
        Json::Null => "-".to_owned(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => match number.as_u64() {
            Some(whole) => thousands(whole),
            None => number.to_string(),
        },
        Json::String(text) => escape::line(text).into_owned(),
        Json::Array(_) | Json::Object(_) => return None,
    };
    (text.chars().count() <= MOST_CELL).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        value_for_people(&Value::from_json_str(json).expect("it is JSON"), true)
    }

    #[test]
    fn alike_records_are_a_table() {
        assert_eq!(
            shown(r#"[{"crate":"serde","lines":120000},{"crate":"log","lines":7}]"#),
            "crate    lines\nserde  120,000\nlog          7"
        );
    }

    #[test]
    fn a_record_around_a_table_is_its_heading() {
        assert_eq!(
            shown(r#"{"rows":[{"a":1},{"a":20}],"total":{"a":21,"b":"x"},"n":2}"#),
            "rows:\n   a\n   1\n  20\ntotal: a 21, b x\nn: 2"
        );
        assert_eq!(shown(r#"{"a":1}"#), "{\n  \"a\": 1\n}");
    }

    #[test]
    fn everything_else_is_json() {
        assert_eq!(shown("[1,2]"), "[\n  1,\n  2\n]");
        assert_eq!(shown(r#"[{"a":1},{"b":1}]"#).lines().count(), 8);
        assert_eq!(shown(r#"[{"a":[1]},{"a":[2]}]"#).lines().next(), Some("["));
        assert_eq!(shown("\"\u{9b}31m\""), "\"\\u{9b}31m\"");
        let piped = value_for_people(&Value::from_json_str("[1, 2]").expect("it is JSON"), false);
        assert_eq!(piped, "[1,2]");
    }
}
