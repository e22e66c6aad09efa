//! What fulfils the [ports](crate::port): the adapters to providers, chosen by settings.

pub mod sandbox;
pub mod stripe;

pub use sandbox::SandboxShipping;
pub use stripe::Stripe;
