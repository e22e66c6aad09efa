//! Formats defined by external standards: currencies (ISO 4217) and e-mail addresses.
//!
//! The command side and the query side must read them alike, so they share this crate. It has pure
//! functions and tables, and no dependencies.

pub mod currency;
pub mod email;

pub use currency::Currency;
