//! Amounts of things that hosts have and runs ask for (`gpu = 1`), in fixed point, and how they are
//! read from tags and flags.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Kinds of resources that a run may ask for, or a host have.
pub const MAX_RESOURCE_KINDS: usize = 1_000;
/// Bytes of the name of a resource.
pub const MAX_RESOURCE_NAME: usize = 256;
/// The largest amount of a resource: 10¹².
pub const MAX_AMOUNT: f64 = 1e12;

/// Steps of an amount in one whole.
const STEPS: f64 = 1e6;

/// An amount of a resource: a number of at least 0 in steps of a millionth, so that sums are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount nearest to `number`; what is above 0 is at least a millionth. None when it is
    /// not a number, below 0 or above [`MAX_AMOUNT`].
    #[must_use]
    pub fn of(number: f64) -> Option<Self> {
        if !(0.0..=MAX_AMOUNT).contains(&number) {
            return None;
        }
        // At most 10¹⁸: it fits, and is whole.
        let steps = (number * STEPS).round() as u64;
        Some(Self(if number > 0.0 { steps.max(1) } else { 0 }))
    }

    /// The amount as a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0 as f64 / STEPS
    }

    /// How many millionths it is.
    #[must_use]
    pub const fn millionths(self) -> u64 {
        self.0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// What is left of it without `less`; nothing when that is more.
    #[must_use]
    pub const fn minus(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl FromStr for Amount {
    type Err = ResourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        amount(text, text)
    }
}

/// Amounts by the names of what they are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Resources(BTreeMap<String, Amount>);

impl Resources {
    /// None of anything.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// These numbers as amounts.
    ///
    /// # Errors
    /// [`ResourceError`] when there are more than [`MAX_RESOURCE_KINDS`], or a name or a number
    /// cannot be taken.
    pub fn from_numbers(numbers: &BTreeMap<String, f64>) -> Result<Self, ResourceError> {
        let mut resources = Self::new();
        for (name, number) in numbers {
            let text = || format!("{name}={number}");
            let amount = Amount::of(*number).ok_or_else(|| ResourceError {
                text: preview(&text()),
                fault: number_fault(*number),
            })?;
            check_name(name, &text())?;
            resources.set(name.clone(), amount)?;
        }
        Ok(resources)
    }

    /// The amounts as numbers, as a call carries them.
    #[must_use]
    pub fn to_numbers(&self) -> BTreeMap<String, f64> {
        self.0.iter().map(|(name, amount)| (name.clone(), amount.get())).collect()
    }

    /// Sets the amount of one kind; what was said before of it is forgotten.
    ///
    /// # Errors
    /// [`ResourceError`] when there are [`MAX_RESOURCE_KINDS`] others already.
    pub fn set(&mut self, name: String, amount: Amount) -> Result<(), ResourceError> {
        if self.0.len() >= MAX_RESOURCE_KINDS && !self.0.contains_key(&name) {
            return Err(ResourceError { text: preview(&name), fault: Fault::TooMany });
        }
        self.0.insert(name, amount);
        Ok(())
    }

    /// How much there is of one kind.
    #[must_use]
    pub fn get(&self, name: &str) -> Amount {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// All kinds with their amounts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Amount)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Whether there is nothing of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(|amount| amount.is_zero())
    }

    /// Whether this is enough for `asked`.
    #[must_use]
    pub fn cover(&self, asked: &Self) -> bool {
        asked.0.iter().all(|(name, amount)| self.get(name) >= *amount)
    }

    /// Whether `total` without this is enough for `asked`.
    pub(crate) fn leave_for(&self, total: &Self, asked: &Self) -> bool {
        asked.0.iter().all(|(name, amount)| total.get(name).minus(self.get(name)) >= *amount)
    }

    /// Adds what a run asked for to what is in use.
    pub(crate) fn add(&mut self, asked: &Self) {
        for (name, amount) in &asked.0 {
            if !amount.is_zero() {
                let used = self.0.entry(name.clone()).or_default();
                *used = used.plus(*amount);
            }
        }
    }

    /// Takes what a run asked for from what is in use.
    pub(crate) fn remove(&mut self, asked: &Self) {
        for (name, amount) in &asked.0 {
            if let Some(used) = self.0.get_mut(name) {
                *used = used.minus(*amount);
                if used.is_zero() {
                    self.0.remove(name);
                }
            }
        }
    }
}

/// Text that should have been a resource and its amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceError {
    text: String,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NoColon,
    NoEquals,
    TwoEquals,
    NoName,
    LongName,
    NotANumber,
    Negative,
    TooLarge,
    TooMany,
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match self.fault {
            Fault::NoColon => {
                write!(f, "the tag `{text}` has no `:`: write it as `resource:KEY=NUM`")
            }
            Fault::NoEquals => write!(f, "`{text}` has no `=`: a resource is `KEY=NUM`"),
            Fault::TwoEquals => {
                write!(f, "`{text}` has more than one `=`: a resource is `KEY=NUM`")
            }
            Fault::NoName => write!(f, "`{text}` has no name before the `=`"),
            Fault::LongName => {
                write!(f, "the name in `{text}` is longer than {MAX_RESOURCE_NAME} bytes")
            }
            Fault::NotANumber => write!(f, "the amount in `{text}` is not a number"),
            Fault::Negative => write!(f, "the amount in `{text}` is below 0"),
            Fault::TooLarge => write!(f, "the amount in `{text}` is above {MAX_AMOUNT}"),
            Fault::TooMany => {
                write!(
                    f,
                    "`{text}` is one kind of resource too many: there may be {MAX_RESOURCE_KINDS}"
                )
            }
        }
    }
}

impl std::error::Error for ResourceError {}

/// Reads `KEY=NUM`, as `--resource` takes it. The case of the key is kept, space around either is
/// not.
///
/// # Errors
/// [`ResourceError`] with the text when it is not of that form, or the number is not one of at
/// least 0.
pub fn parse_resource(text: &str) -> Result<(String, Amount), ResourceError> {
    pair(text, text)
}

/// Reads the tag `resource:KEY=NUM`, or `dask-resource:KEY=NUM` as `DaskExecutor` of Prefect 0.11
/// has it; the prefix in any case, as there. None when it is another tag.
///
/// # Errors
/// [`ResourceError`] with the tag when it begins so and goes on otherwise.
pub fn parse_resource_tag(tag: &str) -> Result<Option<(String, Amount)>, ResourceError> {
    let after = |prefix: &str| {
        let head = tag.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &tag[prefix.len()..])
    };
    if let Some(rest) = after("resource:").or_else(|| after("dask-resource:")) {
        pair(rest, tag).map(Some)
    } else if after("dask-resource").is_some() {
        // There it is an error too, and nobody means anything else by it.
        Err(ResourceError { text: preview(tag), fault: Fault::NoColon })
    } else {
        Ok(None)
    }
}

/// The resources that tags ask for. Of two tags for the same resource the last one counts.
///
/// # Errors
/// [`ResourceError`] with the first tag that is wrong.
pub fn resources_of_tags<'a>(
    tags: impl IntoIterator<Item = &'a str>,
) -> Result<Resources, ResourceError> {
    let mut resources = Resources::new();
    for tag in tags {
        if let Some((name, amount)) = parse_resource_tag(tag)? {
            resources.set(name, amount)?;
        }
    }
    Ok(resources)
}

/// Reads `KEY=NUM` in `text`, a part of `whole`, which is what an error shows.
fn pair(text: &str, whole: &str) -> Result<(String, Amount), ResourceError> {
    let error = |fault| ResourceError { text: preview(whole), fault };
    let (name, number) = text.split_once('=').ok_or_else(|| error(Fault::NoEquals))?;
    if number.contains('=') {
        return Err(error(Fault::TwoEquals));
    }
    let name = name.trim();
    check_name(name, whole)?;
    Ok((name.to_owned(), amount(number, whole)?))
}

fn check_name(name: &str, whole: &str) -> Result<(), ResourceError> {
    let fault = match name.len() {
        0 => Fault::NoName,
        1..=MAX_RESOURCE_NAME => return Ok(()),
        _ => Fault::LongName,
    };
    Err(ResourceError { text: preview(whole), fault })
}

fn amount(text: &str, whole: &str) -> Result<Amount, ResourceError> {
    let error = |fault| ResourceError { text: preview(whole), fault };
    let number: f64 = text.trim().parse().map_err(|_| error(Fault::NotANumber))?;
    Amount::of(number).ok_or_else(|| error(number_fault(number)))
}

fn number_fault(number: f64) -> Fault {
    if number.is_nan() {
        Fault::NotANumber
    } else if number < 0.0 {
        Fault::Negative
    } else {
        Fault::TooLarge
    }
}

/// The beginning of what was written, for an error.
fn preview(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount_of(number: f64) -> Amount {
        Amount::of(number).unwrap()
    }

    #[test]
    fn tags_are_read_as_they_were_and_say_what_is_wrong() {
        for (tag, name, number) in [
            ("resource:gpu=1", "gpu", 1.0),
            ("dask-resource:GPU=0.5", "GPU", 0.5),
            ("Dask-Resource:memory=1e3", "memory", 1_000.0),
            ("RESOURCE: a b = 2 ", "a b", 2.0),
            ("resource:x:y=0", "x:y", 0.0),
        ] {
            let read = parse_resource_tag(tag).unwrap();
            assert_eq!(read, Some((name.to_owned(), amount_of(number))), "{tag}");
        }
        for tag in ["", "gpu=1", "resources", "resource", "my-resource:gpu=1", "réso"] {
            assert_eq!(parse_resource_tag(tag), Ok(None), "{tag}");
        }
        for (tag, said) in [
            ("dask-resource", "has no `:`"),
            ("dask-resource-gpu=1", "has no `:`"),
            ("resource:gpu", "has no `=`"),
            ("resource:gpu=1=2", "more than one `=`"),
            ("resource:=1", "no name"),
            ("resource:gpu=", "not a number"),
            ("resource:gpu=many", "not a number"),
            ("resource:gpu=nan", "not a number"),
            ("resource:gpu=-1", "below 0"),
            ("resource:gpu=inf", "above"),
            ("resource:gpu=1e13", "above"),
        ] {
            let error = parse_resource_tag(tag).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(&format!("`{tag}`")), "{tag}: {error}");
        }
        let long = format!("resource:{}=1", "k".repeat(MAX_RESOURCE_NAME + 1));
        assert!(parse_resource_tag(&long).unwrap_err().to_string().contains("longer"));
    }

    #[test]
    fn the_last_of_two_tags_counts() {
        let tags = ["resource:gpu=1", "nightly", "dask-resource:gpu=3", "resource:GPU=2"];
        let resources = resources_of_tags(tags).unwrap();
        assert_eq!(resources.to_numbers(), [("GPU".into(), 2.0), ("gpu".into(), 3.0)].into());
    }

    #[test]
    fn kinds_are_bounded() {
        let tags: Vec<String> =
            (0..=MAX_RESOURCE_KINDS).map(|n| format!("resource:r{n}=1")).collect();
        let of = |count| resources_of_tags(tags[..count].iter().map(String::as_str));
        assert!(of(MAX_RESOURCE_KINDS).is_ok());
        assert!(of(MAX_RESOURCE_KINDS + 1).unwrap_err().to_string().contains("too many"));
    }

    #[test]
    fn numbers_become_amounts_or_errors() {
        for wrong in [f64::NAN, f64::INFINITY, -0.1, 2e12] {
            assert!(Resources::from_numbers(&[("a".to_owned(), wrong)].into()).is_err());
        }
        assert!(Resources::from_numbers(&[(String::new(), 1.0)].into()).is_err());
        let tenth = Resources::from_numbers(&[("a".to_owned(), 0.1)].into()).unwrap();
        let mut used = Resources::new();
        (0..10).for_each(|_| used.add(&tenth));
        assert_eq!(used.get("a"), amount_of(1.0), "ten tenths are one");
        (0..10).for_each(|_| used.remove(&tenth));
        assert_eq!(used, Resources::new());
        assert_eq!(amount_of(1e-9).millionths(), 1, "what is asked for is never nothing");
        assert_eq!("2.5".parse::<Amount>().unwrap().to_string(), "2.5");
    }
}
