//! Identity as pure values: who acts. No I/O, HTTP or storage.

pub mod principal;

pub use principal::{InvalidName, InvalidPrincipal, Principal, SystemName};
