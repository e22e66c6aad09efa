//! Access tokens: how one process says to another who calls, and what they may do.
//!
//! The command API signs them ([`SigningKeys`]), both APIs verify them ([`Verifier`]). A token is a
//! JWT as of RFC 9068 (`typ: at+jwt`), signed with Ed25519 (RFC 8037). The public keys are
//! published as a JWK set (RFC 7517), so that a verifier needs no secret.
//!
//! A verifier knows one algorithm and a fixed map of keys (RFC 8725). Nothing in a token makes it
//! fetch, open or ask anything.
//!
//! Tokens of an outside issuer count only by configuration ([`outside`]). They have keys and rules
//! of their own.
//!
//! [`Gate`] puts the verifier in front of an API's routes. [`Issuer`] makes a token for a holder.
//! A process other than the command API pulls keys and revocations ([`published`]). [`Operators`]
//! says who may ask for operations on an admin port.

pub mod claims;
pub mod config;
pub mod copy;
pub mod gate;
pub mod issuer;
pub mod moment;
pub mod openapi;
pub mod operator_keys;
pub mod operators;
pub mod outside;
pub mod problem;
pub mod published;
pub mod rate;
pub mod revocation;
pub mod signing;
pub mod verifier;

pub use claims::{Claims, MAX_LIFETIME};
pub use gate::{Gate, GateStep};
pub use issuer::{Holder, Issuer};
pub use moment::Moment;
pub use operator_keys::{OperatorArgs, OperatorKeys, OperatorKeysError};
pub use operators::{Operator, Operators, Signature};
pub use outside::{KeySource, OidcArgs, OutsideVerifier};
pub use rate::{RateStep, limits};
pub use revocation::{Revocations, Subject};
pub use signing::{InvalidKeys, NotSigned, SigningKeys};
pub use verifier::{InvalidToken, MAX_TOKEN_LEN, Verified, Verifier, now};
