//! Pages of lists, whoever asks for them: which page is meant, and where the next one begins.

mod cursor;
mod request;

pub use cursor::{CursorKey, ListId};
pub use request::{Page, PageRequest, PageStart};
