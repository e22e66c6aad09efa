//! What the shop needs of other people's systems: ports. [`crate::adapter`] has what fulfils them.
//!
//! Each call carries the key of what it does ([`Call`]). A repeat under the same key, with the same
//! request, has one effect and one answer, however often it is sent. So a caller that does not know
//! what became of a call ([`GatewayError::Unknown`]) has two safe ways: the same call again, or a
//! look-up, where the call must not take effect any more. A look-up is safe to believe after the
//! call's time limit, and the provider keeps a key for at least a day.

mod call;
mod error;
pub mod payment;
pub mod shipping;

pub use call::Call;
pub use error::{Code, GatewayError};
pub use payment::PaymentGateway;
pub use shipping::Shipping;
