//! Tests of the query API in process, on a real database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod conditional;
mod contract;
mod exports;
mod filters;
mod graphql;
mod input;
mod lag;
mod links;
mod listen;
mod lists;
mod live;
mod openapi;
mod outage;
mod outside;
mod paging;
mod past;
mod plans;
mod problems;
mod process;
mod published;
mod rates;
mod replica;
mod roles;
mod search;
mod shapes;
mod silence;
mod snapshot;
mod sockets;
mod statements;
mod support;
mod switch;
mod versions;
mod waiting;
