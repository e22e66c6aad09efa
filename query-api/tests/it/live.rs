//! Live updates. The tests change the rows as the projector would.

mod access;
mod events;
mod limits;
mod pages;
mod resume;
mod rows;
mod servers;
