//! The endpoint: a POST, or a GET for a query.

use std::future::Future;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Request as GraphqlRequest, Response as Executed, ServerError};
use axum::extract::Request;
use axum::http::header::{ALLOW, HeaderValue, VARY};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use service_kit::Problem;
use service_kit::body::read_body;
use service_kit::extract::require_json;

use crate::accept::AnswerType;
use crate::answer;
use crate::documents::Documents;
use crate::limits::{self, Introspection, Lengths};
use crate::request::{self, Unreadable};
use crate::root;

/// A schema as an endpoint.
#[derive(Clone)]
pub struct Endpoint<E> {
    schema: E,
    introspection: Introspection,
    usual: &'static [(&'static str, usize)],
    documents: Documents,
}

/// Executes one request, with what its resolvers need.
pub trait Executes: Send {
    /// Executes a request that has passed the limits.
    ///
    /// # Errors
    /// A problem that refuses the whole request, such as one of its credentials.
    fn execute<E: Executor>(
        self,
        schema: &E,
        parts: &mut Parts,
        request: GraphqlRequest,
    ) -> impl Future<Output = Result<Executed, Problem>> + Send;
}

impl<E: Executor> Endpoint<E> {
    /// An endpoint for a schema that was built with [`crate::limited`].
    pub fn new(schema: E, introspection: Introspection) -> Self {
        Self { schema, introspection, usual: &[], documents: Documents::default() }
    }

    /// Says how long the lists without an argument `first` usually are, by the names of their
    /// fields.
    #[must_use]
    pub fn with_lists(self, usual: &'static [(&'static str, usize)]) -> Self {
        Self { usual, ..self }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// 405 for other methods and for a mutation by GET, 406, 415, and what reading the body or
    /// `executes` refuses.
    pub async fn answer(
        &self,
        request: Request,
        executes: impl Executes,
    ) -> Result<Response, Problem> {
        let (mut parts, body) = request.into_parts();
        let wanted = AnswerType::of(&parts.headers).ok_or_else(not_acceptable)?;
        let read = if parts.method == Method::GET {
            request::from_query(parts.uri.query().unwrap_or_default())
        } else if parts.method == Method::POST {
            require_json(&parts.headers)?;
            request::from_body(&read_body(body).await?)
        } else {
            return Err(not_allowed("GET, POST"));
        };
        let mut answer = match self.checked(read, &parts.method)? {
            Ok(request) => {
                answer::executed(executes.execute(&self.schema, &mut parts, request).await?, wanted)
            }
            Err(Refusal::Unreadable(error)) => {
                answer::unreadable(&[answer::refusal(error)], wanted)
            }
            Err(Refusal::NotExecuted(error)) => answer::refused(vec![error], wanted),
        };
        answer.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        Ok(answer)
    }

    /// Checks the document of a request that came over HTTP.
    fn checked(
        &self,
        read: Result<GraphqlRequest, Unreadable>,
        method: &Method,
    ) -> Result<Result<GraphqlRequest, Refusal>, Problem> {
        let admitted = match read {
            Ok(request) => self.admit(request),
            Err(error) => return Ok(Err(Refusal::Unreadable(error))),
        };
        match admitted {
            // A link or an image of another site makes a GET, so it must not change anything.
            Ok((_, Some(OperationType::Mutation))) if method == Method::GET => {
                Err(not_allowed("POST"))
            }
            Ok((request, _)) => Ok(Ok(request)),
            Err(error) => Ok(Err(Refusal::NotExecuted(error))),
        }
    }

    /// Checks the document of a request before anything is asked of the schema. Returns the request
    /// with the type of its operation, if it names one that is there.
    ///
    /// # Errors
    /// The document cannot be parsed, or costs too much.
    pub fn admit(
        &self,
        mut request: GraphqlRequest,
    ) -> Result<(GraphqlRequest, Option<OperationType>), ServerError> {
        limits::check_text(&request.query).map_err(answer::refusal)?;
        let name = request.operation_name.clone();
        // The parsed document borrows the whole request.
        let variables = std::mem::take(&mut request.variables);
        let text = (!self.documents.recall(&mut request)).then(|| request.query.clone());
        let document = request.parsed_query()?;
        let lengths = Lengths { variables: &variables, usual: self.usual };
        limits::check(document, lengths, self.introspection).map_err(answer::refusal)?;
        if let Some(text) = text {
            self.documents.keep(&text, document);
        }
        let kind = limits::operation_type(document, name.as_deref());
        if kind == Some(OperationType::Subscription) {
            let lifted = root::lifted(document, name.as_deref()).map_err(answer::refusal)?;
            if let Some(lifted) = lifted {
                request.set_parsed_query(lifted);
            }
        }
        request.variables = variables;
        Ok((request, kind))
    }

    /// The schema.
    pub const fn schema(&self) -> &E {
        &self.schema
    }
}

/// Why a request is not handed to the schema.
enum Refusal {
    /// It is no GraphQL request.
    Unreadable(Unreadable),
    /// Its document cannot be parsed, or costs too much.
    NotExecuted(ServerError),
}

/// 405: the endpoint takes these methods only, or a mutation was sent by GET.
pub fn not_allowed(methods: &'static str) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This method does not go with this path",
    )
    .header(ALLOW, HeaderValue::from_static(methods))
}

/// 406: the client accepts neither media type of an answer.
pub fn not_acceptable() -> Problem {
    Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "not-acceptable",
        "The answer is application/graphql-response+json or application/json",
    )
}
