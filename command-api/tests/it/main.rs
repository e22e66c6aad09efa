//! Tests of the command API from outside. They call its router in process, over the store in memory
//! and over Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

mod access;
mod auth;
mod commands;
mod contract;
mod create_admin;
mod drain;
mod dry_run;
mod events;
mod evolution;
mod examples;
mod fulfilment;
mod gateways;
mod graphql;
mod hot;
mod idempotency;
mod imports;
mod input;
mod listen;
mod open_orders;
mod openapi;
mod operations;
mod operations_asked;
mod operations_orders;
mod operations_queue;
mod operators;
mod order_fulfilment;
mod orders;
mod origin;
mod outages;
mod outside;
mod overload;
mod people;
mod postgres;
mod pricing;
mod process;
mod products;
mod races;
mod rates;
mod silence;
mod stale;
mod states;
mod stock;
mod stock_races;
mod together;
mod unsafe_server;
mod user_access;
mod users;
mod v2;
mod values;
mod versions;
