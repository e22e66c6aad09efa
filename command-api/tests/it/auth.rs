//! Tests of identity: log-ins, sessions and tokens. The credentials are in Postgres, in the role
//! of the command API. The events are in memory.

mod administration;
mod api_keys;
mod away;
mod contract;
mod deactivated;
mod departure;
mod last_administrator;
mod log_in;
mod mail;
pub(crate) mod matrix;
mod proof;
mod refresh;
mod revocations;
mod revoked;
mod support;
mod takeover;
mod throttle;
mod upkeep;
