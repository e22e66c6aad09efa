//! Tokens of an outside issuer, and where its keys come from.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fetching;
mod gate;
mod pairs;
mod tokens;
