//! The handlers for sign-up, new passwords and new addresses. A mailed token proves each of them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use domain::value::PersonName;
use identity::gate::RequestCaller;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use service_kit::extract::{Json, Query};
use service_kit::http::{ClientAddress, RequestId};
use service_kit::input::schema::EmailAddress;
use service_kit::{Envelope, FieldError, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Nothing, SessionTokens, email, visitor};
use crate::application::CommandError;
use crate::auth::Visitor;
use crate::auth::password::Password;
use crate::auth::proof::VALIDITY;
use crate::http::Api;
use crate::http::secret::Secret;
use crate::http::text;

/// The routes of proofs by mail.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(confirm_sign_up))
        .routes(routes!(ask_reset))
        .routes(routes!(reset))
        .routes(routes!(change_password))
        .routes(routes!(ask_email))
        .routes(routes!(confirm_email))
}

/// A person who wants to sign up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignUpBody {
    /// The e-mail address to prove.
    #[schema(value_type = EmailAddress)]
    email: String,
    /// The person's name.
    #[schema(value_type = text::PersonName)]
    name: String,
}

/// An e-mail address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EmailBody {
    /// The e-mail address.
    #[schema(value_type = EmailAddress)]
    email: String,
}

/// A new e-mail address of the caller.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeEmailBody {
    /// The new e-mail address.
    #[schema(value_type = EmailAddress)]
    email: String,
    /// The current password.
    #[schema(value_type = String, format = Password, max_length = 128,
        example = "a first long password")]
    password: Secret,
}

/// A mailed token and a password to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPasswordBody {
    /// The token from the mail.
    #[schema(value_type = String, format = Password, max_length = 128,
        example = "the token from the mail")]
    token: Secret,
    /// The password: at least 10 characters, at most 128 bytes (`password/unfit`).
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 128,
        example = "a first long password")]
    password: Secret,
    /// The name of the frontend, for the list of sessions: lower-case letters, digits and hyphens.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(pattern = "^[a-z0-9-]{1,64}$", nullable = false, example = "web")]
    client: Option<String>,
}

impl NewPasswordBody {
    /// Reads the token and the password, and who sends them.
    fn read(self, address: ClientAddress) -> Result<(SecretString, Password, Visitor), Problem> {
        let Self { token: Secret(token), password: Secret(text), client } = self;
        Ok((token, password("/password", text)?, visitor(client, address)?))
    }
}

/// A mailed token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    /// The token from the mail.
    #[schema(value_type = String, format = Password, max_length = 128,
        example = "the token from the mail")]
    token: Secret,
}

/// The old and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePasswordBody {
    /// The current password.
    #[schema(value_type = String, format = Password, max_length = 128,
        example = "a first long password")]
    current_password: Secret,
    /// The new password: at least 10 characters, at most 128 bytes (`password/unfit`).
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 128,
        example = "a second long password")]
    new_password: Secret,
}

/// A mail is on its way, if there is something to send.
#[derive(Serialize, ToSchema)]
struct MailSent {
    /// How long a token in the mail is valid, in seconds.
    valid_for: i64,
}

/// Accepts a text as a new password. `pointer` is its place in the body.
fn password(pointer: &str, text: SecretString) -> Result<Password, Problem> {
    Password::new(text).map_err(|error| {
        let error = FieldError::new(pointer, "password/unfit", error.to_string());
        Problem::invalid(vec![error])
    })
}

/// Sign up: ask for a mail that proves the e-mail address.
///
/// The answer is the same whether the address is free or taken. The mail tells which.
#[utoipa::path(
    post, path = "/auth/sign-up", operation_id = "signUp", tag = "auth", request_body = SignUpBody,
    responses(
        (status = 202, description = "A mail is on its way", body = Envelope<MailSent>),
        (status = 429, description = "There were too many requests"),
    ),
)]
async fn sign_up(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    address: ClientAddress,
    request_id: RequestId,
    Json(SignUpBody { email: text, name }): Json<SignUpBody>,
) -> Result<Response, Problem> {
    let email = email(&text)?;
    let name = PersonName::parse(&name).map_err(|error| CommandError::invalid("name", error))?;
    api.identity()?.sign_up(&email, &name, &visitor(None, address)?).await?;
    Ok(api.mail_sent(request_id))
}

/// Confirm a sign-up, choose a password, and log in.
///
/// A repeat completes what was interrupted.
#[utoipa::path(
    post, path = "/auth/sign-up/confirm", operation_id = "confirmSignUp", tag = "auth",
    request_body = NewPasswordBody,
    responses(
        (status = 200, description = "You are registered, and a session has begun",
            body = Envelope<SessionTokens>),
        (status = 401, description = "The token is not valid, or no longer"),
        (status = 429, description = "The token was used, and there were too many attempts to \
            repeat it with another password"),
        (status = 409, description = "The address was taken meanwhile"),
    ),
)]
async fn confirm_sign_up(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    address: ClientAddress,
    request_id: RequestId,
    Json(body): Json<NewPasswordBody>,
) -> Result<Response, Problem> {
    let (token, password, visitor) = body.read(address)?;
    let tokens = api.identity()?.confirm_sign_up(&token, password, visitor).await?;
    Ok(api.session(&tokens, request_id))
}

/// Ask for a mail with which a new password can be chosen.
///
/// The answer is the same whether the address belongs to a user or not.
#[utoipa::path(
    post, path = "/auth/password-reset", operation_id = "askPasswordReset", tag = "auth",
    request_body = EmailBody,
    responses(
        (status = 202, description = "A mail is on its way, if the address belongs to a user",
            body = Envelope<MailSent>),
        (status = 429, description = "There were too many requests"),
    ),
)]
async fn ask_reset(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    address: ClientAddress,
    request_id: RequestId,
    Json(EmailBody { email: text }): Json<EmailBody>,
) -> Result<Response, Problem> {
    api.identity()?.ask_reset(&email(&text)?, &visitor(None, address)?).await?;
    Ok(api.mail_sent(request_id))
}

/// Choose a new password with a mailed token, and log in.
///
/// All other sessions end, and all your API keys are revoked. A mail tells of it.
#[utoipa::path(
    post, path = "/auth/password-reset/confirm", operation_id = "resetPassword", tag = "auth",
    request_body = NewPasswordBody,
    responses(
        (status = 200, description = "The password is set, and a session has begun",
            body = Envelope<SessionTokens>),
        (status = 401, description = "The token is not valid, or no longer"),
        (status = 429, description = "The token was used, and there were too many attempts to \
            repeat it with another password"),
    ),
)]
async fn reset(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    address: ClientAddress,
    request_id: RequestId,
    Json(body): Json<NewPasswordBody>,
) -> Result<Response, Problem> {
    let (token, password, visitor) = body.read(address)?;
    let tokens = api.identity()?.reset_password(&token, password, visitor).await?;
    Ok(api.session(&tokens, request_id))
}

/// Change your password.
///
/// All other sessions end. Your API keys stay valid; a mail says how many there are.
#[utoipa::path(
    post, path = "/auth/password", operation_id = "changePassword", tag = "auth",
    request_body = ChangePasswordBody,
    responses(
        (status = 204, description = "The password is changed"),
        (status = 401, description = "You must sign in, or the current password is wrong"),
        (status = 429, description = "There were too many attempts"),
    ),
)]
async fn change_password(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    address: ClientAddress,
    RequestCaller(caller): RequestCaller,
    Json(body): Json<ChangePasswordBody>,
) -> Result<Response, Problem> {
    let ChangePasswordBody { current_password: Secret(current), new_password: Secret(new) } = body;
    let (new, visitor) = (password("/new_password", new)?, visitor(None, address)?);
    api.identity()?.change_password(&caller, current, new, &visitor).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Ask for a mail that proves a new e-mail address of yours.
///
/// The answer is the same whether the address is free or taken. The mail tells which.
#[utoipa::path(
    post, path = "/auth/email", operation_id = "askEmailChange", tag = "auth",
    request_body = ChangeEmailBody,
    responses(
        (status = 202, description = "A mail is on its way", body = Envelope<MailSent>),
        (status = 401, description = "You must sign in, or the current password is wrong"),
        (status = 429, description = "There were too many requests or attempts"),
    ),
)]
async fn ask_email(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    address: ClientAddress,
    RequestCaller(caller): RequestCaller,
    request_id: RequestId,
    Json(body): Json<ChangeEmailBody>,
) -> Result<Response, Problem> {
    let ChangeEmailBody { email: text, password: Secret(current) } = body;
    let (email, visitor) = (email(&text)?, visitor(None, address)?);
    api.identity()?.ask_email(&caller, &email, current, &visitor).await?;
    Ok(api.mail_sent(request_id))
}

/// Confirm a new e-mail address with a mailed token. The old address gets a notice.
///
/// The token is void if the session that asked for it has ended by anything but its own log-out.
#[utoipa::path(
    post, path = "/auth/email/confirm", operation_id = "confirmEmailChange", tag = "auth",
    request_body = TokenBody,
    responses(
        (status = 204, description = "The address is changed"),
        (status = 401, description = "The token is not valid, or no longer"),
        (status = 409, description = "The address was taken meanwhile"),
    ),
)]
async fn confirm_email(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    Json(TokenBody { token: Secret(token) }): Json<TokenBody>,
) -> Result<Response, Problem> {
    api.identity()?.confirm_email(&token).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl Api {
    fn mail_sent(&self, request_id: RequestId) -> Response {
        let data = MailSent { valid_for: VALIDITY.num_seconds() };
        (StatusCode::ACCEPTED, self.plain(data, request_id)).into_response()
    }
}
