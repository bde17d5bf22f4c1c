//! Faults of a flow file, each with its place, all of them together. What is a fault is decided
//! where the file is read and checked.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most faults that are kept of one file; of the others only the number is.
pub const MAX_FAULTS: usize = 200;
/// Most characters of a source line that an excerpt shows.
const EXCERPT_WIDTH: usize = 100;

/// The text of a flow file, for the places and excerpts of faults. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    text: String,
    /// Where each line starts.
    lines: Vec<usize>,
}

/// Where something is in a flow file: bytes of its text.
pub type Place = Range<usize>;

impl Source {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        let lines = std::iter::once(0)
            .chain(
                text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1),
            )
            .collect();
        Self(Arc::new(Inner { path: path.to_owned(), text: text.to_owned(), lines }))
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Line and column of a byte, both from 1; columns count characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.0.lines.partition_point(|start| *start <= at).saturating_sub(1);
        let start = self.0.lines[line];
        let before = self.0.text.get(start..at.min(self.0.text.len())).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }

    fn line(&self, line: usize) -> &str {
        let start = self.0.lines[line - 1];
        self.0.text[start..].lines().next().unwrap_or_default()
    }

    pub(crate) fn fault(&self, place: &Place, what: impl Into<String>) -> Fault {
        let (line, column) = self.position(place.start);
        let text = self.line(line);
        let width =
            self.0.text.get(place.clone()).map_or(1, |marked| {
                marked.lines().next().unwrap_or_default().chars().count().max(1)
            });
        let excerpt = Excerpt::new(text, column, width);
        Fault {
            line,
            column,
            what: what.into(),
            hint: None,
            excerpt: Some(excerpt),
            absence: false,
        }
    }
}

/// One thing that is wrong with a flow file, or with what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, from 1; 0 for a fault of what came with the file (the command line).
    pub line: usize,
    /// Column in the line, from 1, in characters; 0 where `line` is.
    pub column: usize,
    /// What is wrong: a fragment in lower case.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    excerpt: Option<Excerpt>,
    /// Whether it speaks of something that is not there: after a syntax error that something may
    /// merely not have been read.
    absence: bool,
}

impl Fault {
    /// A fault of what came with the file: a parameter given on the command line, for example.
    #[must_use]
    pub fn outside(what: impl Into<String>) -> Self {
        Self { line: 0, column: 0, what: what.into(), hint: None, excerpt: None, absence: false }
    }

    /// The same fault with a word on what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same fault, with the name nearest to `name` as a hint, or else what there is.
    #[must_use]
    pub(crate) fn suggest<'a>(
        self,
        name: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        if let Some(near) = nearest(name, known.clone()) {
            return self.hint(format!("did you mean `{near}`?"));
        }
        let list: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
        match list.len() {
            0 => self,
            1..=MOST_NAMED => self.hint(format!("known here: {}", list.join(", "))),
            _ => self,
        }
    }

    pub(crate) fn of_absence(mut self) -> Self {
        self.absence = true;
        self
    }

    pub(crate) const fn is_of_absence(&self) -> bool {
        self.absence
    }
}

/// Most names that a hint lists.
const MOST_NAMED: usize = 12;

/// The known name that `name` was likely meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The line that a fault is on, with the place marked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    text: String,
    /// Characters before the mark.
    before: usize,
    /// Characters that are marked.
    width: usize,
}

impl Excerpt {
    fn new(line: &str, column: usize, width: usize) -> Self {
        // A window on a long line, so that the mark is in view.
        let skip = if column > EXCERPT_WIDTH { column - EXCERPT_WIDTH / 2 } else { 0 };
        let clean = |c: char| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        };
        let text: String = line.chars().skip(skip).take(EXCERPT_WIDTH).map(clean).collect();
        let before = (column - 1).saturating_sub(skip);
        let room = text.chars().count().saturating_sub(before).max(1);
        Self { text, before, width: width.min(room) }
    }
}

/// Everything that is wrong with a flow file, in the order of the file; what came with the file
/// comes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    path: PathBuf,
    faults: Vec<Fault>,
    omitted: usize,
}

impl Faults {
    /// The faults of `path`, put in order. Those that say the same of the same place count once.
    #[must_use]
    pub fn new(path: &Path, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| (fault.line == 0, fault.line, fault.column));
        faults.dedup_by(|a, b| (a.line, a.column, &a.what) == (b.line, b.column, &b.what));
        let omitted = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        Self { path: path.to_owned(), faults, omitted }
    }

    /// The faults, in the order of the file: at most [`MAX_FAULTS`].
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.faults.iter()
    }

    /// How many faults there are, with those that were left out.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.faults.len() + self.omitted
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.faults.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write_fault(f, &self.path, fault)?;
        }
        if self.omitted > 0 {
            write!(f, "\n{}: and {} more faults", self.path.display(), self.omitted)?;
        }
        Ok(())
    }
}

fn write_fault(f: &mut fmt::Formatter<'_>, path: &Path, fault: &Fault) -> fmt::Result {
    if fault.line > 0 {
        write!(f, "{}:{}:{}: ", path.display(), fault.line, fault.column)?;
    }
    write!(f, "error: {}", fault.what)?;
    if let Some(Excerpt { text, before, width }) = &fault.excerpt {
        let margin = fault.line.to_string().len();
        write!(f, "\n  {} | {text}", fault.line)?;
        write!(f, "\n  {:margin$} | {:before$}{:^<width$}", "", "", "")?;
    }
    if let Some(hint) = &fault.hint {
        write!(f, "\n  hint: {hint}")?;
    }
    Ok(())
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_shown_in_file_order_with_their_line() {
        let source = Source::new(Path::new("flow.toml"), "a = 1\n\tname = \"ü\" # x\n");
        let late = source.fault(&(14..18), "the name is odd").hint("take another");
        let early = source.fault(&(0..1), "no such key");
        let outside = Fault::outside("no parameter `x`");
        let faults = Faults::new(source.path(), vec![outside, late.clone(), early, late]);
        assert_eq!(
            faults.to_string(),
            "flow.toml:1:1: error: no such key\n  1 | a = 1\n    | ^\n\
             flow.toml:2:9: error: the name is odd\n  2 |  name = \"ü\" # x\n    |         ^^^\n  \
             hint: take another\nerror: no parameter `x`"
        );
    }

    #[test]
    fn a_long_line_and_the_end_of_the_file_have_places_too() {
        let text = format!("{}=1", "x".repeat(5000));
        let source = Source::new(Path::new("f"), &text);
        let shown =
            Faults::new(source.path(), vec![source.fault(&(4990..4995), "here")]).to_string();
        assert!(shown.lines().all(|line| line.len() < 130), "{shown}");
        let end = source.fault(&(text.len()..text.len()), "ends");
        assert_eq!((end.line, end.column), (1, text.len() + 1));
    }

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(nearest("cuont", ["table", "count"]), Some("count"));
        assert_eq!(nearest("zebra", ["table", "count"]), None);
    }
}
