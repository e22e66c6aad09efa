//! A book, which is lent to one reader at a time.

use aggregate::{Aggregate, stored_events};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A book that is on its shelf or lent.
#[derive(Debug, Clone, Default)]
pub struct Book {
    is_lent: bool,
}

/// The commands of a book.
#[derive(Debug, Clone, Copy)]
pub enum BookCommand {
    /// Lend the book.
    Lend {
        /// The id of the book.
        book_id: Uuid,
        /// The length of the loan, in days.
        days: u16,
    },
    /// Return the book.
    Return {
        /// The id of the book.
        book_id: Uuid,
    },
}

/// The events of a book.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BookEvent {
    /// `book.lent` v1: the book was lent.
    Lent(BookLent),
    /// `book.returned` v1: the book was returned.
    Returned(BookReturned),
}

stored_events!(BookEvent {
    Lent(BookLent) => "book.lent", 1;
    Returned(BookReturned) => "book.returned", 1;
});

/// `book.lent` v1: the book was lent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BookLent {
    /// The id of the book.
    pub book_id: Uuid,
    /// The length of the loan, in days.
    pub days: u16,
}

/// `book.returned` v1: the book was returned.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BookReturned {
    /// The id of the book.
    pub book_id: Uuid,
}

/// Why a command on a book was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// The book is lent to somebody.
    #[error("the book is lent")]
    IsLent,
    /// The book is not lent.
    #[error("the book is on its shelf")]
    IsThere,
}

impl BookEvent {
    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        let (Self::Lent(BookLent { book_id, .. }) | Self::Returned(BookReturned { book_id })) =
            self;
        vec![("book", *book_id)]
    }
}

impl Aggregate for Book {
    type Command = BookCommand;
    type Event = BookEvent;
    type Error = BookError;

    fn decide(&self, command: BookCommand) -> Result<Vec<BookEvent>, BookError> {
        match command {
            BookCommand::Lend { .. } if self.is_lent => Err(BookError::IsLent),
            BookCommand::Lend { book_id, days } => {
                Ok(vec![BookEvent::Lent(BookLent { book_id, days })])
            }
            BookCommand::Return { .. } if !self.is_lent => Err(BookError::IsThere),
            BookCommand::Return { book_id } => {
                Ok(vec![BookEvent::Returned(BookReturned { book_id })])
            }
        }
    }

    fn evolve(self, event: BookEvent) -> Self {
        Self { is_lent: matches!(event, BookEvent::Lent(_)) }
    }
}

#[cfg(test)]
mod tests {
    use aggregate::scenario::given;

    use super::*;

    const BOOK: Uuid = Uuid::from_u128(7);

    #[test]
    fn a_book_is_lent_to_one_reader_at_a_time() {
        let lent = || BookEvent::Lent(BookLent { book_id: BOOK, days: 14 });
        let returned = BookEvent::Returned(BookReturned { book_id: BOOK });
        let lend = BookCommand::Lend { book_id: BOOK, days: 14 };
        given::<Book>([]).when(lend).then([lent()]);
        given::<Book>([lent()]).when(lend).then_error(&BookError::IsLent);
        given::<Book>([lent(), returned]).when(lend).then([lent()]);
    }
}
