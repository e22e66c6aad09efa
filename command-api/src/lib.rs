//! The command side: HTTP requests in, events out. A use case loads aggregates, lets them decide,
//! and appends the resulting events.
//!
//! This crate has no SQL for the event store and no rule of the shop. Those are in `event-store`
//! and `domain`.

pub mod adapter;
pub mod administrator;
pub mod application;
pub mod auth;
pub mod config;
pub mod erasure;
pub mod events;
pub mod graphql;
pub mod http;
pub mod migrate;
mod offline;
pub mod operations;
pub mod port;
pub mod process_manager;
pub mod remote;
pub mod sagas;
pub mod serve;
mod signing_in;
pub mod user_access;
