//! The registry of all commands that `/commands` takes. It is made from the OpenAPI document: each
//! operation is a command, and runs through the same handler as a request of its own would. So a
//! command has one set of rules, one answer, and one meaning of its idempotency key.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Request};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH};
use axum::http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use axum::{Router, body};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use service_kit::http::Version;
use service_kit::input::{Id, Integer};
use service_kit::openapi::operations;
use service_kit::problem::ProblemBody;
use service_kit::{FieldError, Problem};
use tower::ServiceExt as _;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use uuid::Uuid;

use super::answer::Changed;
use super::present;
use super::version::is_identity;

/// The maximum number of commands in a request.
pub(super) const MAX_COMMANDS: usize = 100;
/// The maximum size of the answer to one command, in bytes. A dry run may repeat the whole body.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// The operation that runs commands.
const RUN_COMMANDS: &str = "runCommands";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// All commands, by their types.
pub(super) struct Registry {
    operations: BTreeMap<String, Operation>,
    router: Router,
}

/// An operation of the API.
struct Operation {
    method: Method,
    /// The steps of its path. Those in braces are ids.
    path: Vec<String>,
    has_body: bool,
    creates: bool,
}

/// A command.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"type": "confirmOrder", "id": "0190b3a2-0000-7000-8000-000000000001"}))]
pub(super) struct Command {
    /// The type of the command: the `operationId` of an operation in this document.
    #[schema(example = "confirmOrder")]
    r#type: String,
    /// The first id in the path of the operation: the resource to change. A command that creates a
    /// resource has none; a new id of the caller is in `data`.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    id: Option<Id>,
    /// The second id in the path: the order line or the address.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    part_id: Option<Id>,
    /// The body of the operation, if it has one.
    #[serde(default)]
    #[schema(value_type = Object, required = false, nullable = false)]
    data: Option<Box<RawValue>>,
    /// A key for this command. A repeat of the command with the same key gets the first answer,
    /// also as a request of its own.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        required = false,
        nullable = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[ -~]+$"
    )]
    idempotency_key: Option<String>,
    /// The version that the resource must be at.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, nullable = false, minimum = 1)]
    expected_version: Option<Integer>,
}

/// The answer to one command.
#[derive(Serialize, ToSchema)]
pub(super) struct CommandResult {
    /// The HTTP status that the command alone would have had.
    #[schema(minimum = 200, maximum = 599)]
    status: u16,
    /// Whether this is the answer to an earlier request with the same key.
    replayed: bool,
    /// What the command did. With `dry_run`: what it would do, after the commands before it if the
    /// batch is atomic, and otherwise after none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Changed, required = false, nullable = false)]
    data: Option<Box<RawValue>>,
    /// Why the command was not carried out. Its pointers begin at `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProblemBody, required = false, nullable = false)]
    problem: Option<Box<RawValue>>,
}

/// Where the last event of a command is in the log. The later one is the larger one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) position: i64,
    pub(super) epoch: Uuid,
    pub(super) consistency_token: Option<String>,
}

/// An envelope, as far as it is read again.
#[derive(Deserialize)]
struct Answered {
    data: Box<RawValue>,
    meta: AnsweredMeta,
}

#[derive(Deserialize)]
struct AnsweredMeta {
    #[serde(default)]
    position: Option<i64>,
    #[serde(default)]
    epoch: Option<Uuid>,
    #[serde(default)]
    consistency_token: Option<String>,
}

impl Registry {
    /// All operations of a version's document, run by a router that has their routes.
    pub(super) fn new(version: Version, document: &OpenApi, router: Router) -> Self {
        let operations = operations(document).filter_map(|(method, path, operation)| {
            let name = operation.operation_id.clone()?;
            // Commands do not contain commands. Identity is none, and answers in its own form.
            if name == RUN_COMMANDS || is_identity(version, path) {
                return None;
            }
            let path = path.split('/').map(str::to_owned).collect();
            let has_body = operation.request_body.is_some();
            let creates = operation.responses.responses.contains_key("201");
            Some((name, Operation { method, path, has_body, creates }))
        });
        Self { operations: operations.collect(), router }
    }

    /// Whether a command creates a resource. `false` for one that does not exist.
    pub(super) fn creates(&self, command: &Command) -> bool {
        self.operations.get(&command.r#type).is_some_and(|operation| operation.creates)
    }

    /// Runs a command on behalf of the request that has these extensions.
    ///
    /// # Errors
    /// A problem if the command cannot be read. A refusal is a result.
    pub(super) async fn run(
        &self,
        command: Command,
        dry_run: bool,
        extensions: &Extensions,
    ) -> Result<(CommandResult, Option<Place>), Problem> {
        let operation = self.operations.get(&command.r#type).ok_or_else(|| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "command/unknown-type",
                "There is no command of this type",
            )
        })?;
        let request = operation.request(command, dry_run, extensions)?;
        let Ok(response) = self.router.clone().oneshot(request).await;
        CommandResult::read(response).await
    }
}

impl Operation {
    fn request(
        &self,
        command: Command,
        dry_run: bool,
        extensions: &Extensions,
    ) -> Result<Request, Problem> {
        let uri = self.uri(&command, dry_run)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &command.idempotency_key {
            headers.insert(IDEMPOTENCY_KEY, quoted(key)?);
        }
        if let Some(version) = command.expected_version {
            let tag = HeaderValue::try_from(format!("\"{}\"", version.get()));
            headers.insert(IF_MATCH, tag.map_err(|_| Problem::internal())?);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = match command.data {
            Some(data) => Body::from(String::from(Box::<str>::from(data))),
            // The operation then says which fields are missing.
            None if self.has_body => Body::from("{}"),
            None => Body::empty(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = headers;
        *request.extensions_mut() = extensions.clone();
        request.extensions_mut().insert(OriginalUri(uri.clone()));
        *request.uri_mut() = uri;
        Ok(request)
    }

    /// The path with the ids of the command in their places.
    fn uri(&self, command: &Command, dry_run: bool) -> Result<Uri, Problem> {
        let mut ids = [command.id, command.part_id].into_iter();
        let mut path = Vec::with_capacity(self.path.len());
        for step in &self.path {
            path.push(match (step.starts_with('{'), step) {
                (true, _) => {
                    let id = ids.next().flatten().ok_or_else(|| self.target())?;
                    id.get().to_string()
                }
                (false, step) => step.clone(),
            });
        }
        if ids.any(|id| id.is_some()) {
            return Err(self.target());
        }
        let query = if dry_run { "?dry_run=true" } else { "" };
        format!("{}{query}", path.join("/")).parse().map_err(|_| Problem::internal())
    }

    fn target(&self) -> Problem {
        let detail = match self.path.iter().filter(|step| step.starts_with('{')).count() {
            0 => "give neither id nor part_id",
            1 => "give id, and no part_id",
            _ => "give id and part_id",
        };
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "command/target",
            "The command is for another kind of resource",
        )
        .detail(detail)
    }
}

/// A key as the value of its header: a quoted string (RFC 9651).
fn quoted(key: &str) -> Result<HeaderValue, Problem> {
    let escaped = key.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::try_from(format!("\"{escaped}\"")).map_err(|_| {
        let detail = "the key has a character that is not printable ASCII";
        let code = "idempotency/malformed-key";
        Problem::invalid(vec![FieldError::new("/idempotency_key", code, detail)])
    })
}

impl Command {
    /// Whether the command has an idempotency key of its own.
    pub(super) const fn is_keyed(&self) -> bool {
        self.idempotency_key.is_some()
    }
}

impl CommandResult {
    /// The answer to a command that an earlier request carried out.
    ///
    /// # Errors
    /// The answer cannot be written.
    pub(super) fn replayed(changed: &Changed, creates: bool) -> Result<Self, Problem> {
        let data = to_raw_value(changed).map_err(|_| Problem::internal())?;
        let status = if creates { StatusCode::CREATED } else { StatusCode::OK };
        Ok(Self { status: status.as_u16(), replayed: true, data: Some(data), problem: None })
    }

    /// Whether the command was, or can be, carried out.
    pub(super) const fn is_success(&self) -> bool {
        self.problem.is_none()
    }

    async fn read(response: Response) -> Result<(Self, Option<Place>), Problem> {
        let (parts, body) = response.into_parts();
        let bytes =
            body::to_bytes(body, MAX_ANSWER_BYTES).await.map_err(|_| Problem::internal())?;
        let status = parts.status;
        let replayed = parts.headers.contains_key(IDEMPOTENT_REPLAYED);
        let result = Self { status: status.as_u16(), replayed, data: None, problem: None };
        if !status.is_success() {
            let problem = Some(read(&bytes)?);
            return Ok((Self { problem, ..result }, None));
        }
        let Answered { data, meta } = read(&bytes)?;
        let AnsweredMeta { position, epoch, consistency_token } = meta;
        let place = position.zip(epoch);
        let place = place.map(|(position, epoch)| Place { position, epoch, consistency_token });
        Ok((Self { data: Some(data), ..result }, place))
    }
}

/// Reads an answer that this program wrote.
fn read<'a, T: Deserialize<'a>>(bytes: &'a Bytes) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        tracing::error!(%error, "the answer to a command cannot be read");
        Problem::internal()
    })
}

impl From<Problem> for CommandResult {
    fn from(problem: Problem) -> Self {
        let body = to_raw_value(problem.body()).ok();
        Self { status: problem.status().as_u16(), replayed: false, data: None, problem: body }
    }
}
