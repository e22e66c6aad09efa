//! The turns of a command on the aggregates that it changes.
//!
//! Every command takes its turns in one fixed sequence: first the one on a target that is no
//! product, then those on products, sorted by id. A command that changes one product takes only
//! that turn. So no two commands wait for each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::application::repository::Turn;

/// Holds the turns of a command while it is decided.
pub(crate) struct Turns {
    /// Whether the command takes a turn on its target.
    on_target: bool,
    /// Whether the command takes turns on products that it changes with its target.
    on_products: bool,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    turns: Vec<Turn>,
    /// Whether the turns on products were taken.
    has_products: bool,
}

impl Turns {
    /// The command takes no turns. It is decided on the states in the store.
    pub(crate) fn none() -> Self {
        Self { on_target: false, on_products: false, taken: Mutex::default() }
    }

    /// The command takes turns. A caller that names a version of the target has seen a stored
    /// version, so the command takes no turn there, and competes with the appends in flight.
    pub(crate) fn of_command(names_version: bool) -> Self {
        Self { on_target: !names_version, on_products: true, taken: Mutex::default() }
    }

    /// The turns that the command took.
    pub(crate) fn into_taken(self) -> Vec<Turn> {
        self.taken.into_inner().unwrap_or_else(PoisonError::into_inner).turns
    }

    /// Whether the command still has to take the turn on its target.
    pub(super) fn wants_target(&self) -> bool {
        let taken = self.taken();
        self.on_target && taken.turns.is_empty() && !taken.has_products
    }

    /// Whether the command takes turns on the products that it asks for now. It does so once,
    /// because a second row of turns would not follow the fixed sequence.
    pub(super) fn begin_products(&self) -> bool {
        self.on_products && !std::mem::replace(&mut self.taken().has_products, true)
    }

    pub(super) fn keep(&self, turn: Turn) {
        self.taken().turns.push(turn);
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
