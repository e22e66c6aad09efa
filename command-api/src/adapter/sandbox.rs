//! The providers of the sandbox (`sandbox/`), for development and tests: its payments are shaped
//! like Stripe's, so [`Stripe`](super::Stripe) does them; its shipments are its own.

mod shipping;
pub mod webhook;

pub use shipping::{SandboxShipping, ShippingError};
