//! Reads the log or a stream to its end, page by page. The next page is read and decoded while the
//! caller works on the current one.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, Stream};
use tokio_util::task::AbortOnDropHandle;

use crate::error::StoreError;
use crate::event::{Position, RecordedEvent};
use crate::query::Filter;
use crate::store::{EventStore, is_last_page};
use crate::stream::{StreamName, Version};

type Page = Result<Vec<RecordedEvent>, StoreError>;
type Read = Box<dyn Fn(i64) -> BoxFuture<'static, Page> + Send>;

/// Streams the events after a position that match the filter, up to the end of the log at the last
/// read. A page has at most `page` events and about
/// [`MAX_PAGE_BYTES`](crate::store::MAX_PAGE_BYTES).
///
/// No page is empty. A task of the current Tokio runtime reads one page ahead, so about two pages
/// are in memory. The stream ends after an error.
///
/// # Errors
/// Each page may be a [`StoreError`] in place of events.
///
/// ```
/// # use std::sync::Arc;
/// # use event_store::{pages, Filter, MemoryStore, Position};
/// # use futures::TryStreamExt;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(MemoryStore::new());
/// let mut pages = std::pin::pin!(pages::of_log(store, Filter::All, Position::START, 1_000));
/// while let Some(page) = pages.try_next().await? {
///     for event in page {
///         println!("{} {}", event.position, event.event_type);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub fn of_log(
    store: Arc<dyn EventStore>,
    filter: Filter,
    after: Position,
    page: u32,
) -> impl Stream<Item = Page> + Send {
    let filter = Arc::new(filter);
    let read: Read = Box::new(move |after| {
        let (store, filter) = (Arc::clone(&store), Arc::clone(&filter));
        Box::pin(async move { store.read(&filter, Position(after), page).await })
    });
    pages(read, after.0, page, |event| event.position.0)
}

/// Streams the events of a stream with a version above `after`, as [`of_log`] does for the log.
///
/// # Errors
/// Each page may be a [`StoreError`] in place of events.
pub fn of_stream(
    store: Arc<dyn EventStore>,
    stream: StreamName,
    after: Version,
    page: u32,
) -> impl Stream<Item = Page> + Send {
    let read: Read = Box::new(move |after| {
        let (store, stream) = (Arc::clone(&store), stream.clone());
        Box::pin(async move { store.read_stream(&stream, Version(after), page).await })
    });
    pages(read, after.0, page, |event| event.version.0)
}

/// The page that is being read ahead, and how to continue.
struct Ahead {
    read: Read,
    page: u32,
    place: fn(&RecordedEvent) -> i64,
    next: Option<AbortOnDropHandle<Page>>,
}

fn pages(
    read: Read,
    after: i64,
    page: u32,
    place: fn(&RecordedEvent) -> i64,
) -> impl Stream<Item = Page> + Send {
    let page = page.max(1);
    let first = Ahead { read, page, place, next: None };
    stream::unfold((first, Some(after)), |(mut ahead, start)| async move {
        // The first page is requested when the stream is first polled, not before.
        if let Some(after) = start {
            ahead.ask(after);
        }
        let page = match ahead.next.take()?.await {
            Ok(page) => page,
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        };
        if let Ok(events) = &page {
            let last = events.last()?;
            if !is_last_page(events, ahead.page) {
                ahead.ask((ahead.place)(last));
            }
        }
        Some((page, (ahead, None)))
    })
}

impl Ahead {
    fn ask(&mut self, after: i64) {
        self.next = Some(AbortOnDropHandle::new(tokio::spawn((self.read)(after))));
    }
}
