//! Standard output whose reader may close it early. `… | head -1` is not an error of ours.

use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, ErrorKind, IsTerminal as _, Write};

use crate::cause::causes;

/// The reader of standard output is gone. This is a separate type because a broken socket has the
/// same I/O error kind.
#[derive(Debug)]
struct ReaderGone;

impl Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl Error for ReaderGone {}

/// Standard output. Its errors say if the reader is gone, and [`crate::failed`] then ends quietly.
#[derive(Debug, Clone, Copy)]
pub struct Stdout(());

/// Standard output, whose reader may close it early.
pub const fn stdout() -> Stdout {
    Stdout(())
}

/// Prints a text completely, and flushes it.
pub fn print(text: impl Display) -> io::Result<()> {
    let mut out = stdout();
    out.write_all(text.to_string().as_bytes())?;
    out.flush()
}

/// The text with its control characters, except line breaks and tabs, as escapes such as `\u{1b}`.
/// Others wrote it, and it must neither change a terminal nor hide or reorder what is next to it.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let is_plain = matches!(character, '\n' | '\t');
        let reorders = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if reorders || character.is_control() && !is_plain {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether an error means that the reader of standard output is gone.
pub fn is_reader_gone(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        // `io::Error::source` skips the wrapped error and returns that error's own source, so look
        // inside.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause.is::<ReaderGone>() || wrapped.is_some_and(|wrapped| is_reader_gone(wrapped))
    })
}

impl Stdout {
    /// Whether standard output is a terminal.
    pub fn is_terminal(self) -> bool {
        io::stdout().is_terminal()
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().map_err(named)
    }
}

fn named(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::BrokenPipe {
        io::Error::new(ErrorKind::BrokenPipe, ReaderGone)
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::{is_reader_gone, named, visible};

    #[test]
    fn what_would_change_a_terminal_is_shown_as_an_escape() {
        let text = "\u{1b}[2Jred\r\u{9b}x\u{202e}y\u{2066}\0\u{7f}";
        let shown = r"\u{1b}[2Jred\u{d}\u{9b}x\u{202e}y\u{2066}\u{0}\u{7f}";
        assert_eq!(visible(text), shown);
        let plain = "a\tline\nwith ümläute, 日本 and \u{200d}";
        assert_eq!(visible(plain), plain);
    }

    #[test]
    fn a_gone_reader_is_told_from_a_broken_socket() {
        assert!(is_reader_gone(&named(ErrorKind::BrokenPipe.into())));
        assert!(is_reader_gone(&Error::other(named(ErrorKind::BrokenPipe.into()))));
        assert!(!is_reader_gone(&Error::from(ErrorKind::BrokenPipe)));
        assert!(!is_reader_gone(&named(ErrorKind::StorageFull.into())));
    }
}
