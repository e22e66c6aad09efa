//! The JetStream stream `EVENTS`: how it is made, resumed and published to.

pub(super) mod publish;
pub(super) mod resume;
pub(super) mod stream;
