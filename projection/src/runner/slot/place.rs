//! Identifies a slot's partition, names it, and records whether this process may take it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Slot, State};
use crate::generation::Generation;
use crate::projection::AnyProjection;
use crate::runner::assignment::Place;
use crate::runner::lease::{self, LEASE};

impl Slot {
    /// Whether it is the first partition of the live generation. Such a slot always exists.
    pub(crate) const fn is_first(&self) -> bool {
        self.standby.is_none() && self.partition == 0
    }

    pub(crate) const fn partition(&self) -> i32 {
        self.partition
    }

    pub(crate) fn fold(&self) -> &str {
        &self.fold
    }

    /// Records the current generation of the slot; `None` if this process cannot project it.
    pub(crate) fn stands_for(&mut self, generation: Option<&Generation>) {
        let name = self.projection.name();
        self.stands_for = generation
            .map(|found| (lease::name(name, found.generation, self.partition), found.partitions));
    }

    /// The partition as processes share it; `None` while it is paused.
    pub(crate) fn place(&self) -> Option<Place> {
        self.stands_for
            .as_ref()
            .filter(|_| !self.is_paused)
            .map(|(lease, _)| Place { lease: lease.clone(), fold: self.fold.clone() })
    }

    /// Records whether this process may take the partition now.
    pub(crate) fn may_acquire(&mut self, may: bool) {
        let may = may && !self.is_paused;
        if let (true, State::Waiting { due, .. }) =
            (may && !self.may_acquire && self.failures == 0, &mut self.state)
        {
            *due = Instant::now();
        }
        self.may_acquire = may;
        self.is_known |= !may;
    }

    /// Whether this process knows the state of the partition.
    pub(crate) const fn is_known(&self) -> bool {
        self.is_known
    }

    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. } | State::Acquiring { from: None, .. })
    }

    /// Whether this process has not had the partition for longer than a lease lasts. Another one
    /// may project it by now.
    pub(crate) fn may_be_elsewhere(&self) -> bool {
        self.is_waiting() && self.progress.moved_at.elapsed() > LEASE
    }

    /// The standby generation of the slot; `None` for the live one.
    pub(crate) const fn standby_generation(&self) -> Option<i32> {
        self.standby
    }

    /// The generation that this process projects here.
    pub(crate) fn owned_generation(&self) -> Option<i32> {
        if let State::Owned(owned) = &self.state { Some(owned.key.generation) } else { None }
    }

    pub(crate) const fn projection(&self) -> &Arc<dyn AnyProjection> {
        &self.projection
    }

    /// Its name in metrics: the projection's, with the schema's number for a standby generation.
    pub(crate) fn label(&self) -> String {
        self.standby.map_or_else(
            || self.name().to_owned(),
            |generation| format!("{}_g{generation}", self.name()),
        )
    }

    pub(crate) fn name(&self) -> &'static str {
        self.projection.name()
    }

    /// Its name for people.
    pub(crate) fn title(&self) -> String {
        let is_split = self.stands_for.as_ref().is_some_and(|(_, partitions)| *partitions > 1);
        if is_split { format!("{}/{}", self.label(), self.partition) } else { self.label() }
    }
}
