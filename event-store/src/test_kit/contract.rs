//! The contract of every event store. Each promise is a function that panics when a store breaks
//! it. [`store_contract!`](crate::store_contract) makes a test of each one, with a store with an
//! empty log.
#![allow(missing_docs, reason = "each name says what is checked")]

mod append;
mod chains;
mod reading;
mod requirements;

pub use append::*;
pub use chains::*;
pub use reading::*;
pub use requirements::*;

/// Fails when a promise has no test.
///
/// # Panics
/// With the promise's name.
pub fn check_complete(tested: &[&str]) {
    for source in [
        include_str!("contract/append.rs"),
        include_str!("contract/chains.rs"),
        include_str!("contract/reading.rs"),
        include_str!("contract/requirements.rs"),
    ] {
        let promises =
            source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
        for promise in promises {
            assert!(tested.contains(&promise), "{promise} is not tested");
        }
    }
}
