//! What fulfils the [ports](crate::port): the adapters to providers, chosen by settings.

mod replays;
pub mod sandbox;
pub mod signed;
pub mod stripe;

pub use sandbox::SandboxShipping;
pub use stripe::Stripe;
