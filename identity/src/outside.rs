//! Access tokens of an outside issuer of OpenID Connect.
//!
//! They count by configuration only ([`OidcArgs`]). The issuer that a token names decides who
//! verifies it: the keys of one issuer never verify a token of another ([`OutsideVerifier`]).
//!
//! The keys are fetched in the background and kept ([`KeySource`]). A token cannot make a process
//! fetch more often than [`Pace`] says. While the issuer is away, the known keys count for as long
//! as the setting says. Without keys, a token of the issuer is neither valid nor invalid.

mod claims;
mod copy;
mod keys;
mod settings;
mod source;
mod url;
mod verifier;

pub use claims::{ClaimName, InvalidClaimName};
pub use settings::{InvalidRoles, InvalidSetting, OidcArgs, RoleMap, TokenType};
pub use source::{FetchError, KeySource, Pace, SILENCE_LIMIT};
pub use url::{InvalidUrl, SafeUrl};
pub use verifier::{NotAccepted, OutsideVerifier, Outsider};

#[cfg(any(test, feature = "test-kit"))]
pub mod test_kit;
#[cfg(test)]
mod tests;
