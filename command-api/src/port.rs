//! What the shop needs of other people's systems: ports. [`crate::adapter`] has what fulfils them.
//!
//! Each call carries the key of what it does ([`Call`]). A repeat under the same key, with the same
//! request, has one effect and one answer, however often it is sent. The provider keeps a key for
//! at least [`KEYS_LAST`].
//!
//! A caller that does not know what became of a call ([`GatewayError::Unknown`]) may send it again.
//! If it must not take effect any more, only these prove that it did not:
//!
//! - an answer under the same key: a refusal, or [`Fate::Never`] when the key is forbidden,
//! - a release or a cancellation that succeeds,
//! - a look-up that finds nothing after the horizon of the provider
//!   ([`PaymentGateway::horizon`]). Before that, the call may still be under way.

use std::time::Duration;

mod call;
mod error;
pub mod payment;
pub mod shipping;

pub use call::Call;
pub use error::{Code, GatewayError};
pub use payment::PaymentGateway;
pub use shipping::Shipping;

/// For how long a repeat is recognised by its key, at least. A caller that may be later looks up
/// first.
pub const KEYS_LAST: Duration = Duration::from_hours(24);

/// What became of a call whose key is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It took no effect, and never will.
    Never,
    /// Its key was used before. A look-up shows what it did, perhaps only later.
    Used,
}
