//! Tables, for a terminal and for a document, and the numbers in them.

use std::fmt::Write as _;

/// A table, cell by cell. The first column is text, the others are numbers.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&it| it.to_owned()).collect(), rows: Vec::new() }
    }

    /// A row; it may be shorter than the head, and then its last cell is text.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// For a terminal, in columns.
    pub(crate) fn text(&self) -> String {
        let width = |column: usize| {
            let rows = self.rows.iter().filter(|row| row.len() == self.head.len() || column == 0);
            let cells = rows.chain([&self.head]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            let mut line = String::from(" ");
            for (column, cell) in row.iter().enumerate() {
                let width = widths.get(column).copied().unwrap_or(0);
                let last_of_short = row.len() < self.head.len() && column + 1 == row.len();
                let written = match (column, last_of_short) {
                    (0, _) | (_, true) => write!(line, " {cell:<width$}"),
                    _ => write!(line, "  {cell:>width$}"),
                };
                written.expect("writing to a string cannot fail");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// For a document.
    pub(crate) fn markdown(&self) -> String {
        let line = |row: &[String]| {
            let cells = row.iter().cloned().chain(std::iter::repeat(String::new()));
            let cells: Vec<String> = cells.take(self.head.len()).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(&self.head);
        text.push_str("|---|");
        text.push_str(&"---:|".repeat(self.head.len().saturating_sub(1)));
        text.push('\n');
        text.extend(self.rows.iter().map(|row| line(row)));
        text
    }
}

/// A whole number in groups of three digits.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three digits that say something.
pub(crate) fn short(number: f64) -> String {
    match number {
        _ if number >= 100.0 => thousands(number),
        _ if number >= 10.0 => format!("{number:.1}"),
        _ if number >= 0.01 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_say_something() {
        let of = [1_234_567.0, 123.4, 12.34, 1.234, 0.001_23].map(short);
        assert_eq!(of, ["1,234,567", "123", "12.3", "1.23", "0.0012"]);
    }

    #[test]
    fn rows_line_up() {
        let mut table = Table::new(&["who", "how fast", "how large"]);
        table.row(["a".to_owned(), "1,000".to_owned(), "2".to_owned()]);
        table.row(["longer".to_owned(), "not installed".to_owned()]);
        assert_eq!(
            table.text(),
            "  who     how fast  how large\n  a          1,000          2\n  longer not installed\n"
        );
        let markdown = "| who | how fast | how large |\n|---|---:|---:|\n| a | 1,000 | 2 |\n\
                        | longer | not installed |  |\n";
        assert_eq!(table.markdown(), markdown);
    }
}
