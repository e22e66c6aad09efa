//! Identity as pure values: who acts, what they may do, and the one policy that decides. No I/O,
//! HTTP or storage.
//!
//! - A [`Principal`] is who acts. A [`Caller`] is a principal with what it may do now.
//! - A [`Permission`] is a kind of act on a kind of resource. A grant of it reaches the caller's
//!   own resources or any ([`Reach`]); [`Grants`] are all that somebody holds.
//! - A [`Role`] is a name for grants.
//! - The [`Policy`] decides. Every API asks it, so that one question has one answer everywhere.

pub mod caller;
pub mod grant;
mod name;
pub mod permission;
pub mod policy;
pub mod principal;
pub mod role;

pub use caller::Caller;
pub use grant::{Grants, InvalidGrant, Reach};
pub use permission::{InvalidPermission, Permission};
pub use policy::{Decision, Owner, Policy, Scope};
pub use principal::{InvalidName, InvalidPrincipal, Principal, SystemName};
pub use role::{InvalidRoleName, Role, RoleName};
