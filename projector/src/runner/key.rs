//! What a part is: one of so many that the keys of a generation of a projection are split into.

use std::sync::Arc;

use super::lease;
use crate::generation::Generation;
use crate::projection::{AnyProjection, Only, Parts};

/// One part of one generation of one projection.
pub(crate) struct PartKey {
    pub(crate) projection: Arc<dyn AnyProjection>,
    pub(crate) generation: i32,
    pub(crate) part: i32,
    /// How many parts the generation has.
    pub(crate) of: i32,
    pub(crate) lease: String,
}

impl PartKey {
    pub(crate) fn new(
        projection: Arc<dyn AnyProjection>,
        generation: &Generation,
        part: i32,
    ) -> Self {
        let (lease, of) =
            (lease::name(projection.name(), generation.generation, part), generation.parts);
        Self { projection, generation: generation.generation, part, of, lease }
    }

    /// The part among the others of its generation.
    pub(crate) fn parts(&self) -> Parts {
        Parts::these([self.part], self.of)
    }

    /// Which keys are its own.
    pub(crate) fn only(&self) -> Only {
        self.parts().only()
    }
}
