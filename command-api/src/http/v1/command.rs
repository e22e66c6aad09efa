//! The handler of `/api/v1/commands`: typed commands, one or a batch. They are answered one by one,
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
}

/// The answers to commands.
#[derive(Serialize, ToSchema)]
struct Results {
    /// One answer for each command, in their sequence.
    results: Vec<CommandResult>,
}

/// Run commands.
///
/// Each command is an operation of this API, with its own answer and its own idempotency key. The
/// answer as a whole is 200, also if commands are refused: a refused command does not keep later
/// ones from running.
#[utoipa::path(
    post, path = "/commands", operation_id = "runCommands", tag = "commands",
        request_body = CommandsBody,
    responses((status = 200, description = "Each command has its answer",
        body = Envelope<Results>)),
)]
async fn run(
    State(api): State<Api>,
    Extension(registry): Extension<Arc<Registry>>,
    forwarded: Forwarded,
    received: Received<CommandsBody>,
) -> Result<Response, Problem> {
    let Received { body: CommandsBody { commands }, about } = received;
    check(commands.len(), &about)?;
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
    let mut meta = Meta::new(about.request_id, api.clock.now());
    if let Some(place) = last {
        meta = meta.at(place.epoch, place.position);
        meta.consistency_token = place.consistency_token;
    }
    Ok(Envelope { data: Results { results }, meta }.into_response())
}

/// Checks what goes for the request as a whole.
fn check(count: usize, about: &About) -> Result<(), Problem> {
    if about.context.keyed.is_some() || about.context.precondition != Precondition::default() {
        return Err(Problem::bad_request(
            "command/header",
            "Each command has its own idempotency key and expected version; send no such headers",
        ));
    }
    let code = match count {
        0 => "too-few",
        1..=MAX_COMMANDS => return Ok(()),
        _ => "too-many",
    };
    let detail = format!("send 1 to {MAX_COMMANDS} commands");
    Err(Problem::invalid(vec![FieldError::new("/commands", code, detail)]))
}

fn not_begun() -> Problem {
    Problem::unavailable(
        "command/not-begun",
        "The commands before took too long; this one was not begun",
        RETRY_SOON,
    )
}
