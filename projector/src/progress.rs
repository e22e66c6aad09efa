//! How far a long piece of work is, on stderr: a bar with rate and remaining time for people, a
//! line now and then for a log.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const BAR: &str = "{msg:<24} {wide_bar} {human_pos}/{human_len} events  {per_sec}  {eta} left";
/// How often a line is written where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A piece of work with a known end.
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
    /// When the next line is due; none where a bar is drawn, or nothing is to be said.
    line_at: Option<Instant>,
}

impl Progress {
    /// Work that goes from one position to another.
    pub(crate) fn new(what: &str, from: i64, to: i64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new(figure(to)) } else { ProgressBar::hidden() };
        // A template that is a constant is a good one.
        bar.set_style(
            ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_length(figure(to));
        bar.set_position(figure(from));
        bar.reset_eta();
        bar.set_message(what.to_owned());
        Self {
            bar,
            what: what.to_owned(),
            line_at: (!is_terminal).then(|| Instant::now() + LINE_EVERY),
        }
    }

    /// Work that nobody watches.
    pub(crate) fn silent() -> Self {
        Self { bar: ProgressBar::hidden(), what: String::new(), line_at: None }
    }

    /// It is so far, and this is where it ends.
    pub(crate) fn at(&mut self, position: i64, end: i64) {
        self.bar.set_length(figure(end));
        self.bar.set_position(figure(position));
        if self.line_at.is_some_and(|due| Instant::now() >= due) {
            self.line_at = Some(Instant::now() + LINE_EVERY);
            let (rate, left) = (self.bar.per_sec(), self.bar.eta());
            self.say(&format!(
                "{}: {position} of {end} events, {rate:.0}/s, {} s left",
                self.what,
                left.as_secs()
            ));
        }
    }

    /// Something that people should read now.
    pub(crate) fn say(&self, text: &str) {
        // Whoever closed stderr wants to hear nothing.
        self.around(|| drop(writeln!(std::io::stderr(), "{text}")));
    }

    /// Writes something while no bar is in the way.
    pub(crate) fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// It is done.
    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn figure(position: i64) -> u64 {
    position.max(0).unsigned_abs()
}
