//! One address for both APIs.
//!
//! The front decides by method and path which API answers a request ([`Front`]), passes it on and
//! passes the answer back. It stores nothing, verifies no token and changes no body: both APIs do
//! for each request what they do without it. While one of them is away, the other one is reached as
//! before.

mod address;
mod api;
pub mod config;
mod conflict;
mod document;
mod failure;
mod front;
mod graphql;
mod headers;
mod known;
mod learn;
mod processes;
mod relayed;
mod routes;
mod schema;
mod socket;
mod table;
mod upstream;

pub use address::{Address, InvalidAddress};
pub use api::{Api, Both};
pub use front::Front;
pub use learn::{Reports, keep_asking};
pub use processes::processes;
pub use routes::router;
pub use upstream::{ANSWER_DEADLINE, UpstreamLimits};
