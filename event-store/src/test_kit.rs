//! Helpers for tests of code that uses this crate, behind the feature `test-kit`. They make events
//! and appends, wait until a reader has caught up, and test the contract of any store.
//!
//! A use case is tested over [`MemoryStore`], which keeps the same contract as Postgres:
//!
//! ```
//! use event_store::test_kit::{append_to, appended, event, refused, stream};
//! use event_store::{EventStore, ExpectedVersion, MemoryStore, Refusal, Version};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), event_store::StoreError> {
//! let store = MemoryStore::new();
//! let made = append_to(stream("a"), ExpectedVersion::NoStream, vec![event("thing.made")]);
//! let outcome = appended(store.append(made).await?);
//! assert_eq!(outcome.versions, [(stream("a"), Version(1))]);
//!
//! let again = append_to(stream("a"), ExpectedVersion::NoStream, vec![event("thing.made")]);
//! let refusal = refused(store.append(again).await?);
//! assert!(matches!(refusal, Refusal::Version { actual: Version(1), .. }));
//! # Ok(())
//! # }
//! ```
//!
//! A custom store runs the contract in its tests with [`store_contract!`](crate::store_contract).
//! All helpers panic where a test should fail, so a program must not use them.
//!
//! [`MemoryStore`]: crate::MemoryStore
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "for tests: an unexpected value fails them"
)]

mod around;
mod caught_up;
pub mod contract;
mod make;
mod outcome;

pub use around::Interfering;
pub use caught_up::{NotCaughtUp, wait_until_caught_up};
pub use make::{
    append_to, behind, event, key, metadata, one, query, release, reservation, stream, tagged, take,
};
pub use outcome::{appended, check_dense, refused, repeated};

/// Runs one test to its end on a new runtime.
///
/// # Panics
/// When the runtime cannot be started, or the test fails.
pub fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// Makes a test for each promise in [`test_kit::contract`](crate::test_kit::contract), named like
/// the promise.
///
/// The expression is a future, evaluated again for each test. It returns an empty store, and a
/// value that must live as long as the test (a database or nothing).
///
/// ```
/// mod contract {
///     event_store::store_contract!(async { (event_store::MemoryStore::new(), ()) });
/// }
/// ```
#[macro_export]
macro_rules! store_contract {
    ($store:expr) => {
        $crate::store_contract! { @each
            { $store }
            an_empty_log_has_an_epoch_and_no_event
            events_are_read_as_they_were_appended
            pages_are_bounded_by_bytes
            p1_p2_positions_and_versions_are_dense_over_several_streams
            expected_versions_are_checked_and_the_actual_one_is_told
            p3_a_refused_append_changes_nothing
            p2_appends_behind_one_another_are_made_in_the_order_in_which_they_were_sent
            an_append_behind_a_refused_one_is_refused_whoever_took_the_version
            p9_an_append_behind_a_repeat_fits_the_first_and_not_its_copy
            a_condition_is_broken_by_a_matching_event_after_the_position
            a_condition_without_a_tag_is_invalid
            a_condition_is_checked_however_many_events_have_its_tag
            reservations_are_taken_moved_and_released
            p9_a_repeat_under_one_key_has_one_effect_and_the_same_answer
            p9_an_append_without_events_can_record_its_outcome
            nothing_of_a_subject_and_no_reservation_for_it_comes_behind_its_erasure
            a_broken_condition_does_not_hide_a_repeat
            a_caller_of_another_epoch_is_refused
            a_closed_stream_takes_no_event_and_says_so
            nothing_comes_after_the_event_that_closes_a_stream
            the_same_append_again_is_recognised_by_its_event_ids
            an_event_id_of_another_append_is_refused
            p9_another_append_with_the_firsts_event_id_is_a_repeat_under_its_key
            reads_filter_by_category_type_and_tags
            ranges_hold_every_event_of_their_types
            streams_are_read_forward_and_backward_in_pages
            a_long_read_goes_on_page_by_page_to_the_end
            marks_prove_what_stands_at_a_position
            a_subscription_catches_up_and_goes_on_live
            limits_are_checked_before_anything_is_sent
        }
    };
    (@each { $store:expr } $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $crate::test_kit::run(async {
                // The second value lives until the test has ended.
                let (store, _alive) = $store.await;
                $crate::test_kit::contract::$name(::std::sync::Arc::new(store)).await;
            });
        })*

        #[test]
        fn every_promise_of_the_contract_has_its_test() {
            $crate::test_kit::contract::check_complete(&[$(stringify!($name)),*]);
        }
    };
}
