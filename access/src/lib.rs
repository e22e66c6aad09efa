//! Who acts: identity as pure values, without I/O, HTTP or storage.

pub mod principal;

pub use principal::{InvalidName, InvalidPrincipal, Principal, SystemName};
