//! Rows as CSV (RFC 4180): a header row, lines that end with CRLF, UTF-8.
//!
//! A spreadsheet takes some texts for formulas, which may send the other cells somewhere (CSV
//! injection, as OWASP calls it). The texts are written by users. So such a text has a `'` in front
//! of it, which a spreadsheet shows as text.
//!
//! In many countries a spreadsheet splits lines at `;`. Quotes then hold a cell together only if it
//! is the first of its line. So each part of a text that may become a cell has its `'`, too.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::columns::{Column, columns};
use crate::read::WriteError;

/// The characters that a formula begins with, and their full-width forms.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Characters that spreadsheets may skip, or take for the end of a cell.
const BREAKS: [char; 3] = ['\t', '\r', '\n'];
/// The characters after which another cell may begin.
const ENDS: [char; 4] = ['\t', '\r', '\n', ';'];

/// Writes rows as the lines of a table.
pub(super) struct Table(Vec<Column>);

impl Table {
    /// The table of rows of this type.
    pub(super) fn of<B: ToSchema>() -> Self {
        Self(columns::<B>())
    }

    /// The header row.
    pub(super) fn head(&self) -> Result<Vec<u8>, WriteError> {
        let mut lines = writer();
        lines.write_record(self.0.iter().map(Column::name))?;
        Ok(lines.into_inner()?)
    }

    /// The lines of these rows.
    pub(super) fn rows<B: Serialize>(&self, rows: &[B]) -> Result<Vec<u8>, WriteError> {
        let mut lines = writer();
        for row in rows {
            let row = serde_json::to_value(row)?;
            lines.write_record(self.0.iter().map(|column| cell(column.value(&row))))?;
        }
        Ok(lines.into_inner()?)
    }
}

fn writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new())
}

/// The text of a cell. Null is empty; lists and objects of any fields are JSON, whose strings have
/// no `;`.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => marked(text),
        Some(json @ (Value::Array(_) | Value::Object(_))) => {
            json.to_string().replace(';', "\\u003b")
        }
        Some(other) => other.to_string(),
    }
}

/// The text with a `'` before each part that may become a cell with a formula.
fn marked(text: &str) -> String {
    let mut marked = String::with_capacity(text.len() + 1);
    for part in text.split_inclusive(ENDS) {
        let is_first = marked.is_empty();
        if (is_first && is_formula(text)) || (!is_first && begins_formula(part)) {
            marked.push('\'');
        }
        marked.push_str(part);
    }
    marked
}

/// Whether a spreadsheet might take a text for a formula, or drop its beginning.
fn is_formula(text: &str) -> bool {
    let skipped = &text[..text.len() - without_skipped(text).len()];
    !is_number(text) && (begins_formula(text) || skipped.contains(BREAKS))
}

/// Whether a spreadsheet might take the beginning of a text for that of a formula.
///
/// What is before the first character counts, too: it may be skipped. A text that has a `'` before
/// a formula already gets another one, so that one can always be taken away again.
fn begins_formula(text: &str) -> bool {
    !is_number(text) && without_skipped(text).starts_with(FORMULA)
}

fn without_skipped(text: &str) -> &str {
    text.trim_start_matches(|c: char| c == '\'' || c == '"' || c.is_whitespace())
}

/// Whether a text is a plain decimal number, such as an amount below zero.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    is_digits(whole) && is_digits(decimals)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_that_may_be_a_formula_is_marked_and_the_mark_can_be_taken_away() {
        for text in [
            "=1+1",
            "+1",
            "-1+1",
            "-",
            "@sum",
            " =1",
            "\"=1\"",
            "\tname",
            "\rname",
            "\n",
            "'=1",
            "''=1",
            "' =1",
            "＝1",
            "-1.5e3",
            "--1",
            "+4312345678",
        ] {
            let written = cell(Some(&json!(text)));
            assert_eq!(written, format!("'{text}"));
            assert!(is_formula(&written), "{text:?}: a reader sees that it is marked");
        }
        for text in ["", "Ada", "-14.67", "0", "-3", "a=b", "'s-Hertogenbosch", "1-2", " x", "é"] {
            assert_eq!(cell(Some(&json!(text))), text);
        }
        for (value, text) in [(json!(-3), "-3"), (json!(true), "true"), (json!(["="]), r#"["="]"#)]
        {
            assert_eq!(cell(Some(&value)), text);
        }
        assert_eq!(cell(None), "");
    }

    /// The cells of a line in a spreadsheet that splits at this character. Quotes count only at the
    /// beginning of a cell.
    fn split_at(separator: u8, line: &str) -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.delimiter(separator).has_headers(false).flexible(true);
        let records = reader.from_reader(line.as_bytes()).into_records();
        records
            .flat_map(|record| record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn no_part_of_a_text_becomes_a_formula_where_a_spreadsheet_splits_at_another_character() {
        let texts = [
            "a;=1+1", "a; =1", "a;'=1", "a;\"=1\"", ";=1", "=1;=2", "a\t=1", "\t=1", "a\n=1",
            "a\r\n;+1", "a;b;@c", "a;-",
        ];
        for text in texts {
            let mut lines = writer();
            lines.write_record(["x", &cell(Some(&json!(text))), "y"]).unwrap();
            let line = String::from_utf8(lines.into_inner().unwrap()).unwrap();
            for separator in *b";\t," {
                for cell in split_at(separator, &line) {
                    let shown = cell.trim_start_matches(|c: char| c == '"' || c.is_whitespace());
                    assert!(!shown.starts_with(FORMULA), "{text:?} in {line:?}: {cell:?}");
                }
            }
            // The marks can be taken away again.
            let written = cell(Some(&json!(text)));
            let mut unmarked = String::new();
            for part in written.split_inclusive(ENDS) {
                let is_marked = if unmarked.is_empty() { is_formula } else { begins_formula };
                let rest = part.strip_prefix('\'').filter(|rest| is_marked(rest));
                unmarked.push_str(rest.unwrap_or(part));
            }
            assert_eq!(unmarked, text);
        }
        for text in ["a;b", "a;-3", "1;2", "a; b", "'s;x", "é\tb"] {
            assert_eq!(cell(Some(&json!(text))), text);
        }
        let list = json!(["a;=1", {"b": ";"}]);
        let written = cell(Some(&list));
        assert!(!written.contains(';'), "{written}");
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), list);
    }
}
