//! Follows the log for users who were deactivated or erased. The sessions of a deactivated user
//! end, the API keys are revoked, and mailed tokens are void; the password and the roles stay.
//! Everything of an erased user that is stored here is deleted.
//!
//! It follows the log because other copies of the program and command lines deactivate and erase,
//! too, and because this process may end right after an append. How far it got is stored in the
//! schema itself. So a restored backup of the schema is followed again from its own mark.
//!
//! Every step can be repeated. Sessions that begin after a reactivation stay, because only those
//! older than the event end. A session that begins while its user is deactivated ends itself
//! (`session/begin.rs`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event_store::subject::{SUBJECT_ERASED, erased_subject};
use event_store::{EventRef, EventStore, EventType, Filter, Position, RecordedEvent, StoreError};
use identity::{Moment, Subject};
use service_kit::Pulse;
use service_kit::health::Component;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::proof::forget_asked_by;
use super::rounds::Rounds;
use super::session::end::{Why, end_begun_by, revoke};
use super::{Identity, IdentityError, account, api_key};
use crate::application::CommandError;
use crate::application::repository::{Departures, Leave, LeaveError, USER_DEACTIVATED};

mod erase;

pub use erase::CredentialStore;

/// How often the log is read without a wake-up. A user whom another process deactivates loses the
/// sessions after that time.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How long the task may be silent before it counts as hung: longer than one page may take.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(2);
/// The maximum number of events that are read at once.
const PAGE: u32 = 500;
/// The number of positions without such an event after which the mark is stored.
const STORE_EVERY: i64 = 10_000;

#[async_trait]
impl Departures for Identity {
    async fn let_leave(&self, users: &[Uuid]) -> Result<Leave, LeaveError> {
        match self.user_access().hold_administrators(users.to_vec()).await {
            Ok((held, None)) => Ok(Box::new(held)),
            Ok((_, Some(user_id))) => Err(LeaveError::LastAdministrator { user_id }),
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error, "the administrators could not be counted");
                Err(LeaveError::CredentialsAway)
            }
        }
    }

    /// Refuses the user's access tokens in this process at once, and wakes the task that ends the
    /// sessions.
    fn departed(&self, user_id: Uuid) {
        let parts = self.parts();
        let now = Moment::of_micros(parts.clock.now().timestamp_micros());
        parts.revocations.revoke(Subject::User(user_id), now);
        self.departed_users().notify_one();
    }
}

impl Identity {
    /// Follows the log until `stop`.
    pub async fn keep_following(
        &self,
        component: &Component,
        pulse: &Pulse,
        stop: CancellationToken,
    ) {
        let mut rounds = Rounds::new(READ_EVERY, pulse, stop);
        while rounds.next(self.departed_users().notified()).await {
            match self.follow(pulse).await {
                Ok(()) => component.ready(),
                // The event store has a component of its own.
                Err(IdentityError::Command(CommandError::NotReady)) => {}
                Err(error) => component.not_ready(cli_kit::describe(&error)),
            }
        }
    }

    /// Follows the log to its end once.
    ///
    /// # Errors
    /// The log or the database of credentials failed. What was done stays done.
    pub async fn follow(&self, pulse: &Pulse) -> Result<(), IdentityError> {
        let commands = self.parts().directory.commands()?;
        let store = commands.repository().store();
        let mut mark = self.mark(store).await?;
        let filter =
            Filter::Types(vec![event_type(USER_DEACTIVATED)?, event_type(SUBJECT_ERASED)?]);
        loop {
            // Everything up to this head has been read when a page is empty.
            let head = store.head().await.map_err(CommandError::from)?.mark;
            let page =
                store.read(&filter, mark.position, PAGE).await.map_err(CommandError::from)?;
            for event in &page {
                pulse.beat();
                self.depart(event).await?;
            }
            match page.last().map(RecordedEvent::mark) {
                Some(last) => mark = last,
                None if head.position.0 - mark.position.0 < STORE_EVERY => return Ok(()),
                None => mark = head,
            }
            self.store_mark(mark).await?;
        }
    }

    /// Does what an event asks for.
    async fn depart(&self, event: &RecordedEvent) -> Result<(), IdentityError> {
        if let Some(subject) = erased_subject(event) {
            return self.credential_store().erase(subject).await;
        }
        let Ok(user_id) = event.stream.id().parse() else { return Ok(()) };
        let (parts, now) = (self.parts(), self.parts().clock.now());
        // A user who was reactivated meanwhile keeps the sessions that began after the event.
        let is_back = parts.directory.may_sign_in(user_id).await?;
        let begun_by = is_back.then_some(event.recorded_at);
        let at = begun_by.unwrap_or(now);
        let ended = parts.database.transaction(async |transaction| {
            // Every change of several rows of a user locks the account first.
            account::lock(transaction, user_id).await?;
            let revocations = &parts.revocations;
            end_begun_by(transaction, revocations, user_id, begun_by, (Why::UserGone, at)).await?;
            let keys = api_key::revoke_made_by(transaction, user_id, begun_by, at).await?;
            let tokens = keys.into_iter().map(Subject::Key).chain([Subject::User(user_id)]);
            revoke(transaction, revocations, tokens, at).await?;
            forget_asked_by(transaction, user_id, begun_by).await
        });
        Ok(ended.await?)
    }

    /// How far the log was followed; its start if it is another log now.
    async fn mark(&self, store: &Arc<dyn EventStore>) -> Result<EventRef, IdentityError> {
        let found = sqlx::query!("SELECT position, event_id FROM auth.followed");
        let found = found.fetch_optional(self.parts().database.pool()).await?;
        let Some(found) = found else { return Ok(EventRef::START) };
        let mark = EventRef { position: Position(found.position), event_id: found.event_id };
        let there = store.event_ref_at(mark.position).await.map_err(CommandError::from)?;
        Ok(if there == Some(mark) { mark } else { EventRef::START })
    }

    async fn store_mark(&self, mark: EventRef) -> Result<(), IdentityError> {
        let stored = sqlx::query!(
            "INSERT INTO auth.followed (position, event_id) VALUES ($1, $2)
             ON CONFLICT (only_row) DO UPDATE
             SET position = excluded.position, event_id = excluded.event_id",
            mark.position.0,
            mark.event_id
        );
        stored.execute(self.parts().database.pool()).await?;
        Ok(())
    }
}

fn event_type(name: &str) -> Result<EventType, CommandError> {
    let name: Result<EventType, _> = name.parse();
    name.map_err(|error| StoreError::Unusable(error.to_string()).into())
}
