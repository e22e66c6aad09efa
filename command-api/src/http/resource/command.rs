//! The handler of `/api/vN/commands`: typed commands, one or a batch. They are answered one by one,
//! in their sequence.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use service_kit::{Envelope, FieldError, Meta, Problem};
use tokio::time::Instant;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::precondition::Precondition;
use crate::http::Api;
use crate::http::commands::{Command, CommandResult, MAX_COMMANDS, Place, Registry};
use crate::http::object::objects;
use crate::http::received::{About, Forwarded, Received};

mod together;

/// How long a request may begin further commands. With the time of the last one it stays below the
/// time in which the server gives up a request, so the caller gets the answers of those before.
const BEGIN_LIMIT: Duration = Duration::from_secs(12);
/// The value of `Retry-After` for commands that were not begun, in seconds.
const RETRY_SOON: u64 = 1;

/// The tag of this operation in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "commands", description = "All commands, typed, one or many at once")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(run))
}

/// Commands to run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CommandsBody {
    /// The commands, in the sequence in which they run. A later one sees what an earlier one did.
    #[schema(min_items = 1, max_items = 100)]
    #[serde(deserialize_with = "objects")]
    commands: Vec<Command>,
    /// Whether the commands are carried out together or not at all. They are then one append, with
    /// one idempotency key: that in the header of the request, and none of their own
    /// (`idempotency/of-batch`). It must not be too large for that (`command/too-much-at-once`).
    #[serde(default)]
    #[schema(required = false)]
    atomic: bool,
}

/// The answers to commands.
#[derive(Serialize, ToSchema)]
struct CommandResults {
    /// One answer for each command, in their sequence.
    results: Vec<CommandResult>,
}

/// Run commands.
///
/// Each command is an operation of this API, with its own answer. The answer as a whole is 200,
/// also if commands are refused.
///
/// A refused command does not keep later ones from running, and each command has its own
/// idempotency key. With `atomic`, the commands are carried out together or not at all: if one is
/// refused, the others have the status 424.
#[utoipa::path(
    post, path = "/commands", operation_id = "runCommands", tag = "commands",
        request_body = CommandsBody,
    responses((status = 200, description = "Each command has its answer",
        body = Envelope<CommandResults>)),
)]
async fn run(
    State(api): State<Api>,
    Extension(registry): Extension<Arc<Registry>>,
    forwarded: Forwarded,
    received: Received<CommandsBody>,
) -> Result<Response, Problem> {
    let Received { body: CommandsBody { commands, atomic }, about } = received;
    check(&commands, atomic, &about)?;
    let place = |last: Option<Place>, results: Vec<CommandResult>| {
        let mut meta = Meta::new(about.request_id.clone(), api.clock.now());
        if let Some(place) = last {
            meta = meta.at(place.epoch, place.position);
            meta.consistency_token = place.consistency_token;
        }
        Envelope { data: CommandResults { results }, meta }.into_response()
    };
    if atomic {
        let (results, last) =
            together::run(&api, &registry, commands, &about, &forwarded.0).await?;
        return Ok(place(last, results));
    }
    let begin_until = Instant::now() + BEGIN_LIMIT;
    let (mut results, mut last): (Vec<CommandResult>, Option<Place>) = (Vec::new(), None);
    for command in commands {
        let result = if Instant::now() < begin_until {
            registry.run(command, about.dry_run, &forwarded.0).await
        } else {
            Err(not_begun())
        };
        let (result, place) = result.unwrap_or_else(|problem| (problem.into(), None));
        // A repeat has the place of the first, so the last command need not be the newest.
        last = last.max(place);
        results.push(result);
    }
    Ok(place(last, results))
}

/// Checks what goes for the request as a whole.
fn check(commands: &[Command], atomic: bool, about: &About) -> Result<(), Problem> {
    let has_key = about.context.keyed.is_some() && !atomic;
    if has_key || about.context.precondition != Precondition::default() {
        let title = "Each command has its own expected version, and its own idempotency key if the \
            batch is not atomic; send no such headers";
        return Err(Problem::bad_request("command/header", title));
    }
    let code = match commands.len() {
        0 => "too-few",
        1..=MAX_COMMANDS => return if atomic { check_keys(commands) } else { Ok(()) },
        _ => "too-many",
    };
    let detail = format!("send 1 to {MAX_COMMANDS} commands");
    Err(Problem::invalid(vec![FieldError::new("/commands", code, detail)]))
}

/// Checks that no command of an atomic batch has a key.
fn check_keys(commands: &[Command]) -> Result<(), Problem> {
    let keyed = commands.iter().enumerate().filter(|(_, command)| command.is_keyed());
    let errors: Vec<_> = keyed
        .map(|(index, _)| {
            let pointer = format!("/commands/{index}/idempotency_key");
            let detail = "an atomic batch has one key, in the header Idempotency-Key";
            FieldError::new(pointer, "idempotency/of-batch", detail)
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
}

fn not_begun() -> Problem {
    Problem::unavailable(
        "command/not-begun",
        "The commands before took too long; this one was not begun",
        RETRY_SOON,
    )
}
