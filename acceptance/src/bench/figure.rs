//! Benchmark results: measured values and their references, as a table for people and as JSON for
//! programs.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// A measured value and the reference to compare it with.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// The name of the benchmark.
    pub bench: &'static str,
    /// The case, such as `writers=64`.
    pub case: String,
    /// The measured quantity: `rate`, `p50` or `p99`.
    pub metric: &'static str,
    /// The median over the rounds.
    pub value: f64,
    /// The unit of the value.
    pub unit: &'static str,
    /// The name of the reference, if there is one.
    pub reference: Option<String>,
    /// The reference's median over the rounds.
    pub reference_value: Option<f64>,
    /// The ratio `value / reference_value`.
    pub ratio: Option<f64>,
    /// The lowest and the highest round.
    pub spread: [f64; 2],
    /// The target of the ratio or value as text, if the project promises one.
    pub target: Option<String>,
    /// Whether the target was reached.
    pub reached: Option<bool>,
}

/// The limit of a ratio or a value.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At least this much.
    AtLeast(f64),
    /// At most this much.
    AtMost(f64),
}

impl Target {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
        }
    }
}

impl Figure {
    /// Creates a result from the values of all rounds.
    pub fn new(
        bench: &'static str,
        case: &str,
        metric: &'static str,
        unit: &'static str,
        rounds: &[f64],
    ) -> Self {
        let spread = rounds
            .iter()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(*v), high.max(*v)]);
        Self {
            bench,
            case: case.to_owned(),
            metric,
            value: median(rounds),
            unit,
            reference: None,
            reference_value: None,
            ratio: None,
            spread,
            target: None,
            reached: None,
        }
    }

    /// Adds a reference's rounds, and a target for the ratio if there is one.
    #[must_use]
    pub fn against(mut self, reference: &str, rounds: &[f64], target: Option<Target>) -> Self {
        let reference_value = median(rounds);
        let ratio = self.value / reference_value;
        self.reference = Some(reference.to_owned());
        self.reference_value = Some(reference_value);
        self.ratio = Some(ratio);
        self.target = target.map(Target::words);
        self.reached = target.map(|t| t.holds(ratio));
        self
    }
}

impl Figure {
    /// Sets a maximum for the value itself.
    #[must_use]
    pub fn within(self, most: f64) -> Self {
        self.limited(Target::AtMost(most))
    }

    /// Sets a minimum for the value itself.
    #[must_use]
    pub fn at_least(self, least: f64) -> Self {
        self.limited(Target::AtLeast(least))
    }

    fn limited(mut self, target: Target) -> Self {
        self.target = Some(target.words());
        self.reached = Some(target.holds(self.value));
        self
    }
}

/// The median of the values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Formats the results as a table.
pub fn table(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table.set_header([
        "case",
        "metric",
        "value",
        "spread",
        "reference",
        "its value",
        "ratio",
        "target",
        "",
    ]);
    for figure in figures {
        let number = |value: f64| format!("{value:.*}", usize::from(value < 100.0) * 2);
        table.add_row([
            figure.case.clone(),
            figure.metric.to_owned(),
            format!("{} {}", number(figure.value), figure.unit),
            format!("{} to {}", number(figure.spread[0]), number(figure.spread[1])),
            figure.reference.clone().unwrap_or_default(),
            figure.reference_value.map(number).unwrap_or_default(),
            figure.ratio.map(|r| format!("{r:.2}")).unwrap_or_default(),
            figure.target.clone().unwrap_or_default(),
            figure
                .reached
                .map_or("", |reached| if reached { "reached" } else { "MISSED" })
                .to_owned(),
        ]);
    }
    for column in [2, 3, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    writeln!(text, "{table}").unwrap_or_default();
    text
}

/// Writes the results as a JSON array.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(path: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    std::fs::write(path, serde_json::to_vec_pretty(figures)?)?;
    Ok(())
}
