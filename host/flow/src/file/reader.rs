//! Reads values out of a TOML tree, and notes a fault with its place where one does not fit. Which
//! keys there are is not known here.

use std::time::Duration;

use sandmill_core::units;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::argument::Located;
use crate::fault::{Fault, Place, Source};
use crate::literal::Literal;
use crate::reference::Reference;

/// A value in the tree, with its place.
pub(crate) type Node<'i> = Spanned<DeValue<'i>>;

/// Most characters of a name.
pub const MAX_NAME_LENGTH: usize = 128;
/// Longest time that a flow file can give to something: 365 days.
pub const MAX_TIME_LIMIT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Gathers faults while a file is read.
pub(crate) struct Reader {
    pub(crate) source: Source,
    pub(crate) faults: Vec<Fault>,
}

impl Reader {
    pub(crate) fn fault(&mut self, place: &Place, what: impl Into<String>) {
        self.faults.push(self.source.fault(place, what));
    }

    pub(crate) fn hinted(&mut self, place: &Place, what: impl Into<String>, hint: &str) {
        self.faults.push(self.source.fault(place, what).hint(hint));
    }

    /// Notes that something has to be there and is not.
    pub(crate) fn missing(&mut self, place: &Place, what: impl Into<String>, hint: &str) {
        self.faults.push(self.source.fault(place, what).hint(hint).of_absence());
    }

    /// Notes every key of the table that is none of `known`. `of` names the table.
    pub(crate) fn only(&mut self, table: &DeTable<'_>, known: &[&str], of: &str) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let fault = self.source.fault(&key.span(), format!("unknown key `{name}` in {of}"));
                self.faults.push(fault.suggest(name, known.iter().copied()));
            }
        }
    }

    /// As [`Reader::only`], where a key may have `-` in the place of `_`.
    pub(crate) fn only_either(&mut self, table: &DeTable<'_>, known: &[&str], of: &str) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name.replace('-', "_").as_str()) {
                let fault = self.source.fault(&key.span(), format!("unknown key `{name}` in {of}"));
                self.faults.push(fault.suggest(name, known.iter().copied()));
            }
        }
    }

    /// What is at a key that may have `-` in the place of `_`. Both at once are a fault.
    pub(crate) fn either<'a, 'i>(
        &mut self,
        table: &'a DeTable<'i>,
        key: &str,
    ) -> Option<&'a Node<'i>> {
        let other = key.replace('_', "-");
        let (Some((_, node)), Some((again, _))) =
            (table.get_key_value(key), table.get_key_value(other.as_str()))
        else {
            return table.get(key).or_else(|| table.get(other.as_str()));
        };
        if other != key {
            let what = format!("`{other}` and `{key}` are the same key");
            self.hinted(&again.span(), what, "remove one of them");
        }
        Some(node)
    }

    pub(crate) fn wrong(&mut self, node: &Node<'_>, of: &str, expected: &str) {
        let found = kind_name(node.get_ref());
        self.fault(&node.span(), format!("{of} is {expected}, not {found}"));
    }

    pub(crate) fn table<'a, 'i>(
        &mut self,
        node: &'a Node<'i>,
        of: &str,
    ) -> Option<&'a DeTable<'i>> {
        let table = node.get_ref().as_table();
        if table.is_none() {
            self.wrong(node, of, "a table");
        }
        table
    }

    pub(crate) fn array<'a, 'i>(&mut self, node: &'a Node<'i>, of: &str) -> &'a [Node<'i>] {
        match node.get_ref() {
            DeValue::Array(items) => items,
            _ => {
                self.wrong(node, of, "an array");
                &[]
            }
        }
    }

    pub(crate) fn string(&mut self, node: &Node<'_>, of: &str) -> Option<Located<String>> {
        match node.get_ref() {
            DeValue::String(text) => Some(Located::new(text.to_string(), node.span())),
            _ => {
                self.wrong(node, of, "a string");
                None
            }
        }
    }

    pub(crate) fn strings(&mut self, node: &Node<'_>, of: &str) -> Vec<Located<String>> {
        let item = format!("each item of {of}");
        self.array(node, of).iter().filter_map(|node| self.string(node, &item)).collect()
    }

    pub(crate) fn boolean(&mut self, node: &Node<'_>, of: &str) -> Option<bool> {
        let value = node.get_ref().as_bool();
        if value.is_none() {
            self.wrong(node, of, "true or false");
        }
        value
    }

    pub(crate) fn number(&mut self, node: &Node<'_>, of: &str) -> Option<f64> {
        match self.literal(node)? {
            // Amounts of a resource are small numbers.
            #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nobody counts resources")]
            Literal::Integer(number) => Some(number as f64),
            Literal::Float(number) => Some(number),
            _ => {
                self.wrong(node, of, "a number");
                None
            }
        }
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn whole(
        &mut self,
        node: &Node<'_>,
        of: &str,
        least: u64,
        most: u64,
    ) -> Option<u64> {
        let Literal::Integer(number) = self.literal(node)? else {
            self.wrong(node, of, "a whole number");
            return None;
        };
        let fits = u64::try_from(number).ok().filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            self.fault(&node.span(), format!("{of} is from {least} to {most}, not {number}"));
        }
        fits
    }

    /// A duration with its unit, up to `most`.
    pub(crate) fn duration(
        &mut self,
        node: &Node<'_>,
        of: &str,
        most: Duration,
    ) -> Option<Duration> {
        let DeValue::String(text) = node.get_ref() else {
            self.wrong(node, of, "a duration with its unit, in quotes, such as \"10s\"");
            return None;
        };
        match units::parse_duration(text) {
            Ok(duration) if duration <= most => Some(duration),
            Ok(_) => {
                let what = format!("{of} is at most {}, not {text}", units::format_duration(most));
                self.fault(&node.span(), what);
                None
            }
            Err(why) => {
                self.fault(&node.span(), why.to_string());
                None
            }
        }
    }

    /// A duration with its unit that is not 0.
    pub(crate) fn time_limit(&mut self, node: &Node<'_>, of: &str) -> Option<Duration> {
        let time = self.duration(node, of, MAX_TIME_LIMIT)?;
        if time.is_zero() {
            self.fault(&node.span(), format!("{of} is 0, so that nothing could be done in it"));
            return None;
        }
        Some(time)
    }

    pub(crate) fn reference(&mut self, node: &Node<'_>, of: &str) -> Option<Located<Reference>> {
        let text = self.string(node, of)?;
        match Reference::parse(&text.value) {
            Ok(reference) => Some(Located::new(reference, text.place)),
            Err(why) => {
                self.fault(&text.place, why);
                None
            }
        }
    }

    /// Reads a text with the parser of its type.
    pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        node: &Node<'_>,
        of: &str,
    ) -> Option<Located<T>> {
        let text = self.string(node, of)?;
        match text.value.parse() {
            Ok(value) => Some(Located::new(value, text.place)),
            Err(why) => {
                self.fault(&text.place, why.to_string());
                None
            }
        }
    }

    /// A value as it stands; a date has no form that tasks know.
    pub(crate) fn literal(&mut self, node: &Node<'_>) -> Option<Literal> {
        Some(match node.get_ref() {
            DeValue::String(text) => Literal::String(text.to_string()),
            DeValue::Boolean(value) => Literal::Boolean(*value),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(value) => Literal::Integer(value),
                    Err(_) => {
                        self.fault(&node.span(), format!("the integer `{number}` is out of range"));
                        return None;
                    }
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(value) => Literal::Float(value),
                Err(_) => {
                    self.fault(&node.span(), format!("`{number}` is not a number"));
                    return None;
                }
            },
            DeValue::Datetime(_) => {
                let what = "a date or time is not a value that tasks know";
                self.hinted(&node.span(), what, "write it as a string, in quotes");
                return None;
            }
            DeValue::Array(items) => {
                let read: Vec<Option<Literal>> =
                    items.iter().map(|item| self.literal(item)).collect();
                Literal::Array(read.into_iter().collect::<Option<_>>()?)
            }
            DeValue::Table(table) => {
                let read: Vec<Option<(String, Literal)>> = table
                    .iter()
                    .map(|(key, value)| Some((key.get_ref().to_string(), self.literal(value)?)))
                    .collect();
                Literal::Table(read.into_iter().collect::<Option<_>>()?)
            }
        })
    }

    /// Checks the name of a component, parameter or task.
    pub(crate) fn name(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        of: &str,
    ) -> Located<String> {
        let name = key.get_ref().to_string();
        if let Some(problem) = name_problem(&name) {
            let hint = "use letters, digits, `-` and `_`, starting with a letter or digit";
            self.hinted(&key.span(), format!("the {of} name `{name}` {problem}"), hint);
        }
        Located::new(name, key.span())
    }
}

/// What keeps `name` from being the name of a component, parameter or task.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if name.len() > MAX_NAME_LENGTH {
        return Some(format!("has more than {MAX_NAME_LENGTH} characters"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Some("does not start with a letter or digit".to_owned());
    }
    name.chars().find(|c| !fits(*c)).map(|c| format!("has the character {c:?}"))
}

pub(crate) const fn kind_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
