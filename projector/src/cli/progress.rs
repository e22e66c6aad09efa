//! Shows the progress of long work on stderr: a bar with rate and remaining time on a terminal, and
//! a line every few seconds elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use event_store::Position;
use indicatif::{ProgressBar, ProgressStyle};

use projection::ops::{Progress, Work};

const BAR: &str = "{msg:<24} {wide_bar} {human_pos}/{human_len} events  {per_sec}  {eta} left";
/// How often to write a line where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the progress of one command.
pub(super) struct Bar {
    bar: ProgressBar,
    /// When the next line is due, where no bar can be drawn.
    line_at: Option<Mutex<Instant>>,
}

impl Bar {
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new(0) } else { ProgressBar::hidden() };
        // The template is a constant, so it is valid.
        bar.set_style(
            ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self { bar, line_at: (!is_terminal).then(|| Mutex::new(Instant::now() + LINE_EVERY)) }
    }

    /// Shows the progress of an operation of another process.
    pub(super) fn show(&self, work: &str, position: Position, end: Position) {
        if self.bar.message() != work {
            self.bar.set_message(work.to_owned());
            self.bar.reset_eta();
        }
        self.at(position, end);
    }

    /// Writes something while the bar is hidden.
    pub(super) fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Whether a line is due.
    fn is_due(&self) -> bool {
        let Some(due) = &self.line_at else { return false };
        let mut due = due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = Instant::now() >= *due;
        if is_due {
            *due = Instant::now() + LINE_EVERY;
        }
        is_due
    }

    fn line(&self, text: &str) {
        // If stderr is closed, nobody wants progress.
        self.around(|| drop(writeln!(std::io::stderr(), "{text}")));
    }
}

impl Progress for Bar {
    fn begins(&self, work: Work, from: Position, to: Position) {
        if work == Work::Indexing {
            return self.line(&work.to_string());
        }
        self.bar.set_message(work.to_string());
        self.bar.set_length(figure(to));
        self.bar.set_position(figure(from));
        self.bar.reset_eta();
    }

    fn at(&self, position: Position, end: Position) {
        self.bar.set_length(figure(end));
        self.bar.set_position(figure(position));
        if self.is_due() {
            let (rate, left) = (self.bar.per_sec(), self.bar.eta().as_secs());
            let what = self.bar.message();
            self.line(&format!("{what}: {position} of {end} events, {rate:.0}/s, {left} s left"));
        }
    }

    fn ends(&self) {
        self.bar.finish_and_clear();
    }
}

fn figure(position: Position) -> u64 {
    position.0.max(0).unsigned_abs()
}
