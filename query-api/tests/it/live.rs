//! Live updates. The tests change the rows as the projector would.

mod access;
pub(crate) mod events;
pub(crate) mod limits;
mod negotiation;
pub(crate) mod pages;
mod resume;
mod rows;
mod servers;
mod versions;
