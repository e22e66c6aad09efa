//! Pages of lists for every representation: which page is requested, and where the next one begins.

mod cursor;
mod request;

pub use cursor::{CursorError, CursorKey, ListId};
pub use request::{
    DEFAULT_SIZE, MAX_NUMBERED_ROWS, MAX_SIZE, Page, PageRequest, PageStart, is_numbered,
};
