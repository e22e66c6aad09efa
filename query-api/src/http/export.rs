//! Exports: a whole list as CSV or NDJSON, as a stream. The filters, the sort, the access and the
//! visible form of a row are those of the list.

mod columns;
mod csv;
mod format;

pub(super) use format::Format;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::Value;
use service_kit::Problem;
use service_kit::consistency::{DATA_EPOCH, DATA_LAG, DATA_POSITION, DATA_STALE};
use service_kit::envelope::lag_seconds;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::conditional;
use super::list::{Filter, ListRequest};
use super::{Api, etag};
use crate::page::{Page, PageRequest, PageStart};
use crate::read::{CutOff, Export, Read, Seen, Whole, Write, WriteError};

/// The media type of CSV. Its parameter `header` says that there is a header row.
const CSV_TYPE: &str = "text/csv; charset=utf-8; header=present";

impl Api {
    /// Answers with all rows of a list. See [`Api::list`].
    pub(super) async fn export<F, R, T, B>(
        &self,
        request: &ListRequest<F>,
        question: impl Fn(PageRequest<F::Sort>) -> R + Send + Sync + 'static,
        key: fn(&T, F::Sort) -> Value,
        body: fn(T) -> B,
    ) -> Result<Response, Problem>
    where
        F: Filter,
        R: Read<Answer: Into<Option<Page<T>>>>,
        T: Send + 'static,
        B: Serialize + ToSchema + 'static,
    {
        let sort = request.page_request.sort;
        if request.wait.is_some() {
            // The wait holds none of the places for exports.
            let first = PageRequest { sort, start: PageStart::First, size: 1 };
            self.ask(question(first), request.wait).await?;
        }
        let (head, write) = writer::<B>(request.format)?;
        let write = Box::new(move |rows: Vec<T>| write(rows.into_iter().map(body).collect()));
        let whole = Whole { question, sort, key, write };
        let token = request.wait.map(|wait| wait.token);
        let place = self.exports.take(request.client)?;
        let export = self.exports.begin(place, whole, token).await?;
        let export = export.ok_or_else(Problem::not_found)?;
        let seen = export.seen.clone();
        if let Some(as_of) = request.filter.as_of() {
            self.is_past(as_of, seen.position)?;
        }
        let media_type = request.format.media_type();
        let (seed, content) = (self.cursor_key.seed(), (media_type, request.version));
        let tag = etag::of_export(seed, request.id, &seen, content);
        let tag = tag.map_err(|error| {
            tracing::error!(%error, "the state of an export cannot be written as JSON");
            Problem::internal()
        })?;
        let stream = || streamed(head, export);
        let mut response = conditional(&tag, &request.conditions, request.wait, stream)?;
        if response.status() == StatusCode::OK {
            describe(&mut response, request, &seen);
        }
        Ok(response)
    }
}

/// The text before all rows in this format, and the function that writes rows.
fn writer<B: Serialize + ToSchema + 'static>(
    format: Format,
) -> Result<(Vec<u8>, Write<B>), Problem> {
    match format {
        Format::Json | Format::Ndjson => Ok((Vec::new(), Box::new(|rows| lines(&rows)))),
        Format::Csv => {
            let table = csv::Table::of::<B>();
            let head = table.head().map_err(|error| {
                tracing::error!(%error, "the header row of an export cannot be written");
                Problem::internal()
            })?;
            Ok((head, Box::new(move |rows| table.rows(&rows))))
        }
    }
}

/// Rows as NDJSON: each is a line.
fn lines<B: Serialize>(rows: &[B]) -> Result<Vec<u8>, WriteError> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The answer with the pieces of an export. If it is cut off, the body ends with an error, so the
/// server aborts it.
fn streamed(head: Vec<u8>, export: Export) -> Response {
    let head = (!head.is_empty()).then(|| Ok::<_, CutOff>(Bytes::from(head)));
    let pieces = stream::try_unfold(export, async |mut export| {
        Ok(export.next().await?.map(|piece| (piece, export)))
    });
    Response::new(Body::from_stream(stream::iter(head).chain(pieces)))
}

fn describe<F: Filter>(response: &mut Response, request: &ListRequest<F>, seen: &Seen) {
    let format = request.format;
    let content_type = if format == Format::Csv { CSV_TYPE } else { format.media_type() };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(DATA_POSITION, HeaderValue::from(seen.position));
    let lag = seen.lag.and_then(|lag| HeaderValue::from_str(&lag_seconds(lag).to_string()).ok());
    headers.extend(lag.map(|lag| (DATA_LAG, lag)));
    if seen.stale {
        headers.insert(DATA_STALE, HeaderValue::from_static("true"));
    }
    let epoch = seen.epoch.and_then(|epoch| HeaderValue::from_str(&epoch.to_string()).ok());
    headers.extend(epoch.map(|epoch| (DATA_EPOCH, epoch)));
    let name =
        format!("attachment; filename=\"{}.{}\"", name_of(&request.path), format.extension());
    let name = HeaderValue::from_str(&name).ok();
    headers.extend(name.map(|name| (CONTENT_DISPOSITION, name)));
}

/// The name of the file with a list: the parts of its path below the version, without ids.
fn name_of(path: &str) -> String {
    let parts = path.trim_start_matches("/api/").split('/').skip(1);
    let named = parts.filter(|part| part.parse::<Uuid>().is_err());
    named.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_name_of_its_list() {
        for (path, name) in [
            ("/api/v1/orders", "orders"),
            ("/api/v2/sales/daily", "sales-daily"),
            ("/api/v1/users/019a0000-0000-7000-8000-000000000000/orders", "users-orders"),
        ] {
            assert_eq!(name_of(path), name);
        }
    }
}
