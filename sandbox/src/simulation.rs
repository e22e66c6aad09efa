//! The simulated provider and shipper: requests, what they change, and the journal that keeps it.

pub(crate) mod api;
pub(crate) mod arrivals;
pub(crate) mod ask;
pub(crate) mod control;
pub(crate) mod hooks;
pub(crate) mod journal;
pub(crate) mod payments;
pub mod shipments;
pub(crate) mod state;
