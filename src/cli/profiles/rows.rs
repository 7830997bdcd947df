//! The profiles of a file, one at a time: lines of JSON, or rows of a table.

use std::{
    cell::Cell,
    io::{BufRead, BufReader, Read},
    rc::Rc,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

/// The most bytes of a line that are read; the gateway takes fewer.
const LONGEST: u64 = 1 << 20;

/// One profile: the line of the file that it begins on, and itself as one line of JSON, or why it is none.
pub(super) type Row = (u64, Result<String, String>);

/// The profiles of a file.
pub(super) enum Rows {
    Lines(Lines),
    Table(Box<Table>),
}

/// Counts what is read.
pub(super) struct Counted<R> {
    read: R,
    count: Rc<Cell<u64>>,
}

/// A profile on each line.
pub(super) struct Lines {
    text: Box<dyn BufRead>,
    number: u64,
}

/// A profile in each row.
pub(super) struct Table {
    rows: csv::StringRecordsIntoIter<Box<dyn Read>>,
    columns: Vec<Column>,
}

/// What a column says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    User,
    Attribute(String),
    BehavioralData(String),
}

impl<R> Counted<R> {
    /// A reader, and how many bytes it has read.
    pub(super) fn new(read: R) -> (Self, Rc<Cell<u64>>) {
        let count = Rc::new(Cell::new(0));
        (Self { read, count: Rc::clone(&count) }, count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.read.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

impl Rows {
    pub(super) fn lines(text: impl Read + 'static) -> Self {
        Self::Lines(Lines { text: Box::new(BufReader::new(text)), number: 0 })
    }

    /// `behavioral` names columns that are behavioral data, besides those that say so themselves.
    pub(super) fn table(text: impl Read + 'static, behavioral: &[String]) -> Result<Self> {
        let text: Box<dyn Read> = Box::new(text);
        let mut table = csv::ReaderBuilder::new().from_reader(text);
        let columns = columns(table.headers().context("failed to read the names of the columns")?, behavioral)?;
        Ok(Self::Table(Box::new(Table { rows: table.into_records(), columns })))
    }

    /// The next profile; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Table(table) => table.next(),
        }
    }
}

impl Lines {
    fn next(&mut self) -> Result<Option<Row>> {
        loop {
            let mut line = Vec::new();
            let read = self.text.by_ref().take(LONGEST).read_until(b'\n', &mut line).context("failed to read")?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 == LONGEST && !line.ends_with(b"\n") {
                self.text.skip_until(b'\n').context("failed to read")?;
                return Ok(Some((self.number, Err(format!("the line is longer than {LONGEST} bytes")))));
            }
            let line = String::from_utf8(line).map_err(|_| "not UTF-8".to_owned());
            let line = line.map(|line| line.trim_start_matches('\u{feff}').trim().to_owned());
            if line.as_ref().is_ok_and(String::is_empty) {
                continue;
            }
            return Ok(Some((self.number, line)));
        }
    }
}

impl Table {
    fn next(&mut self) -> Result<Option<Row>> {
        let at = self.rows.reader().position().line();
        let row = match self.rows.next() {
            None => return Ok(None),
            Some(Ok(row)) => row,
            Some(Err(error)) if error.is_io_error() => return Err(error).context("failed to read"),
            // One row is wrong, the next one may be right.
            Some(Err(error)) => {
                return Ok(Some((error.position().map_or(at, csv::Position::line), Err(error.to_string()))));
            }
        };
        let line = row.position().map_or(at, csv::Position::line);
        Ok(Some((line, Ok(self.profile(&row)))))
    }

    fn profile(&self, row: &csv::StringRecord) -> String {
        let (mut user, mut attributes, mut behavioral_data) = ("", Map::new(), Map::new());
        for (column, cell) in self.columns.iter().zip(row) {
            match column {
                Column::User => user = cell,
                // Nothing is said of it.
                Column::Attribute(_) | Column::BehavioralData(_) if cell.is_empty() => {}
                Column::Attribute(name) => drop(attributes.insert(name.clone(), value_of(cell))),
                Column::BehavioralData(name) => drop(behavioral_data.insert(name.clone(), value_of(cell))),
            }
        }
        json!({ "user_id": user, "attributes": attributes, "behavioral_data": behavioral_data }).to_string()
    }
}

/// Numbers and booleans as they are; `007` and everything else is text.
fn value_of(cell: &str) -> Value {
    match serde_json::from_str(cell) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        Ok(Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_)) | Err(_) => cell.into(),
    }
}

fn columns(names: &csv::StringRecord, behavioral: &[String]) -> Result<Vec<Column>> {
    let names: Vec<&str> = names.iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
    if names.iter().filter(|name| **name == "user_id").count() != 1 {
        bail!("the first line names no column `user_id`, or several; it names {}", names.join(", "));
    }
    if let Some(missing) = behavioral.iter().find(|wanted| !names.contains(&wanted.as_str())) {
        bail!("there is no column {missing:?}; there are {}", names.join(", "));
    }
    let column = |name: &str| match name.split_once('.') {
        _ if name == "user_id" => Column::User,
        _ if behavioral.iter().any(|wanted| wanted == name) => Column::BehavioralData(name.to_owned()),
        Some(("behavioral_data", name)) => Column::BehavioralData(name.to_owned()),
        Some(("attributes", name)) => Column::Attribute(name.to_owned()),
        _ => Column::Attribute(name.to_owned()),
    };
    Ok(names.into_iter().map(column).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut rows: Rows) -> Vec<(u64, Result<Value, String>)> {
        let mut found = Vec::new();
        while let Some((line, row)) = rows.next().unwrap() {
            found.push((line, row.map(|row| serde_json::from_str(&row).unwrap())));
        }
        found
    }

    #[test]
    fn lines_of_json() {
        let long = " ".repeat(LONGEST as usize + 4) + "\"x\"";
        let text = format!("\u{feff}{{\"a\": 1}}\r\n\n  \n{long}\n{{}}");
        let found = all(Rows::lines(std::io::Cursor::new(text.into_bytes())));
        assert_eq!(found[0], (1, Ok(json!({ "a": 1 }))));
        assert!(found[1].0 == 4 && found[1].1.is_err());
        assert_eq!(found[2..], [(5, Ok(json!({})))]);
        let strange = all(Rows::lines(&b"\xff\n1"[..]));
        assert_eq!(strange, [(1, Err("not UTF-8".to_owned())), (2, Ok(json!(1)))]);
    }

    #[test]
    fn rows_of_a_table() {
        let text = "\u{feff}user_id,country,visits,attributes.zip,behavioral_data.n\n\
                    ann,DE,7,01234,1.5\n12,\"a \"\"b\"\",\nmore\",,,\nbob,,7\ncid,true,null,[1],x\n";
        let rows = Rows::table(text.as_bytes(), &["visits".to_owned()]).unwrap();
        let found = all(rows);
        let profile = |user, attributes, behavioral_data| {
            Ok(json!({ "user_id": user, "attributes": attributes, "behavioral_data": behavioral_data }))
        };
        assert_eq!(
            found[0],
            (2, profile("ann", json!({ "country": "DE", "zip": "01234" }), json!({ "visits": 7, "n": 1.5 })))
        );
        assert_eq!(found[1], (3, profile("12", json!({ "country": "a \"b\",\nmore" }), json!({}))));
        assert!(found[2].0 == 5 && found[2].1.is_err(), "{:?}", found[2]);
        assert_eq!(
            found[3],
            (6, profile("cid", json!({ "country": true, "zip": "[1]" }), json!({ "visits": "null", "n": "x" })))
        );
        for (text, behavioral) in [("id,a\n1,2", ""), ("user_id,user_id\n1,2", ""), ("user_id\n1", "visits"), ("", "")]
        {
            let behavioral: Vec<String> = behavioral.split_terminator(',').map(str::to_owned).collect();
            assert!(Rows::table(text.as_bytes(), &behavioral).is_err(), "{text}");
        }
    }
}
