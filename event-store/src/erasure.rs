//! The erasure of a subject: destroying its key, which erases its data in every copy of the log.
//!
//! [`encryption`](crate::encryption) encrypts the personal data of events under a key per subject.
//!
//! - [`erase`] erases a subject: first ledger and key, then `subject.erased` and the reservations.
//!   Every step can be repeated.
//! - [`prove`] shows what is left of a subject after its erasure.
//! - [`reconcile`] applies the ledger to a restored log, and the log to a restored key store. Run
//!   it before serving.
//!
//! The append functions reject data of a subject after its `subject.erased`, and a projection
//! blanks the subject's fields when it reads that event. The log therefore means the same whenever
//! it is read, and a rebuilt read model equals the live one (promise P7).

mod erase;
mod proof;
mod reconcile;

pub use erase::{EraseError, EraseRequest, MAX_BY_LEN, erase};
pub use proof::{Elsewhere, Proof, Search, is_known, prove};
pub use reconcile::{Reconciled, is_settled, reconcile};
