//! The application without HTTP. Every representation (REST, GraphQL, a process manager) hands over
//! raw input and gets a typed answer or a typed error.
//!
//! Nothing here names HTTP, JSON pointers or OpenAPI. The test `deploy/stack/tests/tidy/rooms.rs`
//! checks that. A representation decides how content is written and read. Every rule about the
//! content itself is here.

use std::sync::{Arc, OnceLock};

pub mod access;
pub mod batch;
pub mod command;
pub mod context;
pub mod erasure_gate;
pub mod error;
pub mod idempotency;
pub mod input;
pub mod precondition;
pub mod repository;
pub mod settlement;
pub mod telemetry;
pub mod use_case;

pub use command::{Attempted, Attempts, Begun, Commands, Done, DryRun, Refused, Replayed};
pub use context::Context;
pub use error::CommandError;
pub use input::{Environment, Input};
pub use settlement::{OpenOrders, SettleError, Settlement};

use ::access::Policy;
use access::Permit;
use use_case::UseCase;

/// The application, as its representations call it. Clones share it.
#[derive(Clone)]
pub struct Application {
    /// The commands. They are absent until the event store is connected and its schema is known.
    pub commands: Arc<OnceLock<Arc<Commands>>>,
    /// The environment in which input is read.
    pub environment: Environment,
    /// Decides what callers may do.
    pub policy: Arc<Policy>,
}

impl Application {
    /// Reads the input and runs the command to its end, even if the caller stops waiting. A
    /// command of a batch is only decided; its answer has no position yet.
    ///
    /// The policy decides first whether the caller may run the command at all.
    ///
    /// # Errors
    /// [`CommandError`] says why the command failed. [`CommandError::Invalid`] lists everything
    /// that is wrong with the input.
    pub async fn run<I: Input>(&self, input: I, context: Context) -> Result<Done, CommandError> {
        let (use_case, permit) = self.read(input, &context)?;
        match context.batch.clone() {
            None => self.commands()?.run(use_case, permit, context).await,
            Some(batch) => self.commands()?.join(&use_case, permit, &context, &batch).await,
        }
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
        let (use_case, permit) = self.read(input, &context)?;
        self.commands()?.dry_run(use_case, permit, context).await
    }

    /// Begins to carry out commands together, or none of them. Each attempt makes a
    /// [`Batch`](batch::Batch), runs all commands with it in their [`Context`], and hands it to
    /// [`Attempts::append`]. With `dry_run` nothing is appended.
    ///
    /// # Errors
    /// The event store is not reached yet or cannot be asked, there are too many commands, or the
    /// idempotency key in `context` was used for another request.
    pub async fn together(&self, context: Context, dry_run: bool) -> Result<Begun, CommandError> {
        self.commands()?.together(context, dry_run).await
    }

    fn read<I: Input>(
        &self,
        input: I,
        context: &Context,
    ) -> Result<(I::UseCase, Permit), CommandError> {
        let permit = Permit::of::<I::UseCase>(&self.policy, &context.caller)?;
        let use_case = input.read(&self.environment)?;
        permit.check(&use_case)?;
        if <I::UseCase as UseCase>::CREATES && !context.precondition.holds_for_nothing() {
            return Err(CommandError::NothingToMatch);
        }
        Ok((use_case, permit))
    }

    fn commands(&self) -> Result<&Arc<Commands>, CommandError> {
        self.commands.get().ok_or(CommandError::NotReady)
    }
}
