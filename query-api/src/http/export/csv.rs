//! Rows as CSV (RFC 4180): a header row, lines that end with CRLF, UTF-8.
//!
//! A spreadsheet takes some texts for formulas, which may send the other cells somewhere (CSV
//! injection, as OWASP calls it). The texts are written by users. So such a text has a `'` in front
//! of it, which a spreadsheet shows as text.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::columns::{Column, columns};
use crate::read::WriteError;

/// The characters that a formula begins with, and their full-width forms.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Characters that spreadsheets may skip, or take for the end of a cell.
const BREAKS: [char; 3] = ['\t', '\r', '\n'];

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

/// The text of a cell. Null is empty; lists and objects of any fields are JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if is_formula(text) => format!("'{text}"),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Whether a spreadsheet might take a text for a formula.
///
/// A spreadsheet may skip blanks and `'` at the beginning, so the check skips them, too. A text
/// that has a `'` before a formula already gets another one, so that one can always be taken away
/// again.
fn is_formula(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c == '\'' || c.is_whitespace());
    let skipped = &text[..text.len() - rest.len()];
    !is_number(text) && (rest.starts_with(FORMULA) || skipped.contains(BREAKS))
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
            "\t=1",
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
}
