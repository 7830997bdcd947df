//! Columns for people.

use std::fmt;

use serde_json::Value;

/// Rows under a heading, each column as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(heading: [&str; COLUMNS]) -> Self {
        Self { rows: vec![heading.map(str::to_owned)] }
    }

    pub(super) fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for (position, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            let end = if position + 1 == self.rows.len() { "" } else { "\n" };
            write!(out, "{}{end}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A value without quotes; `-` where there is none. What could move the cursor of a terminal is shown escaped.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Text of somebody else's that is safe to print.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|letter| match letter.is_control() {
            true => letter.escape_default().collect::<Vec<_>>(),
            false => vec![letter],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_in_columns() {
        let mut table = Table::new(["A", "LONG"]);
        table.push(["é".to_owned(), "x".to_owned()]);
        table.push(["wide".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "A     LONG\né     x\nwide");
    }

    #[test]
    fn text_of_others_cannot_move_the_cursor() {
        assert_eq!(text(&"a\u{1b}[2J\n".into()), "a\\u{1b}[2J\\n");
    }
}
