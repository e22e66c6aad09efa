//! Checks that are too large for the suite. `cargo stack test --only NAME` runs one of them
//! (`deploy/stack/src/check.rs`), and the settings of the test runner leave all of them out of the
//! suite (`.config/nextest.toml`).

mod localstripe;
mod schemathesis;
