//! Formats that standards outside this system define and that both of its sides must read alike:
//! currencies (ISO 4217) and e-mail addresses. Pure functions and tables, without dependencies.

pub mod currency;
pub mod email;

pub use currency::Currency;
