//! The application without HTTP. Every representation (REST, GraphQL, a process manager) hands over
//! raw input and gets a typed answer or a typed error.
//!
//! Nothing here names HTTP, JSON pointers or OpenAPI. The test `deploy/stack/tests/tidy/rooms.rs`
//! checks that. A representation decides how content is written and read. Every rule about the
//! content itself is here.

use std::sync::{Arc, OnceLock};

pub mod command;
pub mod context;
pub mod erasure_gate;
pub mod error;
pub mod idempotency;
pub mod input;
pub mod precondition;
pub mod repository;
pub mod telemetry;
pub mod use_case;

pub use command::{Commands, Done, DryRun};
pub use context::Context;
pub use error::CommandError;
pub use input::{Environment, Input};

use use_case::UseCase;

/// The application, as its representations call it. Clones share it.
#[derive(Clone)]
pub struct Application {
    /// The commands. They are absent until the event store is connected and its schema is known.
    pub commands: Arc<OnceLock<Arc<Commands>>>,
    /// The environment in which input is read.
    pub environment: Environment,
}

impl Application {
    /// Reads the input and runs the command to its end, even if the caller stops waiting.
    ///
    /// # Errors
    /// [`CommandError`] says why the command failed. [`CommandError::Invalid`] lists everything
    /// that is wrong with the input.
    pub async fn run<I: Input>(&self, input: I, context: Context) -> Result<Done, CommandError> {
        let use_case = self.read(input, &context)?;
        self.commands()?.run(use_case, context).await
    }

    /// Reads the input and decides the command without carrying it out.
    ///
    /// # Errors
    /// The same errors as [`Application::run`].
    pub async fn dry_run<I: Input>(
        &self,
        input: I,
        context: Context,
    ) -> Result<DryRun, CommandError> {
        let use_case = self.read(input, &context)?;
        self.commands()?.dry_run(use_case, context).await
    }

    fn read<I: Input>(&self, input: I, context: &Context) -> Result<I::UseCase, CommandError> {
        let use_case = input.read(&self.environment)?;
        if <I::UseCase as UseCase>::CREATES && !context.precondition.holds_for_nothing() {
            return Err(CommandError::NothingToMatch);
        }
        Ok(use_case)
    }

    fn commands(&self) -> Result<&Arc<Commands>, CommandError> {
        self.commands.get().ok_or(CommandError::NotReady)
    }
}
