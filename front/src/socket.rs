//! Web sockets: the front joins the connection of a client with one to the query API, and passes on
//! what both send, byte by byte.
//!
//! Nothing is kept: each side is read only as fast as the other one reads. The API pings its client
//! more often than a side may be silent, so a silent side is gone. When the process drains, both
//! connections end. The client then connects again, to another process, and resumes.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use service_kit::Problem;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::relayed::STALL_DEADLINE;
use crate::upstream::Head;

/// How long both sides may take to change the protocol.
const SWITCH_DEADLINE: Duration = Duration::from_secs(5);
/// How long a side may leave unread what the other one sent.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// How long one side may go on after the other one has ended.
const END_DEADLINE: Duration = Duration::from_secs(3);
/// How many bytes are passed on at once.
const BUFFER_BYTES: usize = 8 * 1024;

const SWITCHED: HeaderValue = HeaderValue::from_static("upgrade");
const WEB_SOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Takes the connection of a request for a web socket.
pub(crate) fn of(parts: &mut Parts) -> Result<OnUpgrade, Problem> {
    parts.extensions.remove().ok_or_else(|| {
        let title = "This connection cannot become a web socket";
        Problem::new(StatusCode::UPGRADE_REQUIRED, "web-socket-invalid", title)
    })
}

/// Asks an API for a web socket. What a client says about its own connection was left out.
pub(crate) fn asking(mut head: Head) -> Head {
    head.headers.insert(CONNECTION, SWITCHED);
    head.headers.insert(UPGRADE, WEB_SOCKET);
    head
}

/// Tells a client that the API agreed.
pub(crate) fn agreed(headers: HeaderMap) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = headers;
    answer.headers_mut().insert(CONNECTION, SWITCHED);
    answer.headers_mut().insert(UPGRADE, WEB_SOCKET);
    answer
}

/// Passes on what both sides send, until one of them ends or `drain` is cancelled. `places` are
/// held so long.
pub(crate) fn join(
    client: OnUpgrade,
    api: OnUpgrade,
    drain: CancellationToken,
    places: impl Send + 'static,
) {
    tokio::spawn(async move {
        let joined = drain.run_until_cancelled(pass_both(client, api)).await;
        if let Some(Err(error)) = joined {
            tracing::debug!(%error, "a web socket broke");
        }
        drop(places);
    });
}

async fn pass_both(client: OnUpgrade, api: OnUpgrade) -> io::Result<()> {
    let both = timeout(SWITCH_DEADLINE, async { tokio::try_join!(client, api) }).await;
    let (client, api): (Upgraded, Upgraded) =
        both.map_err(io::Error::from)?.map_err(io::Error::other)?;
    let ((mut from_client, mut to_client), (mut from_api, mut to_api)) =
        (split(TokioIo::new(client)), split(TokioIo::new(api)));
    let mut there = pin!(pass(&mut from_client, &mut to_api));
    let mut back = pin!(pass(&mut from_api, &mut to_client));
    // After one side has ended, nothing that the other one says counts for long.
    tokio::select! {
        ended = &mut there => {
            ended?;
            timeout(END_DEADLINE, back).await?
        }
        ended = &mut back => {
            ended?;
            timeout(END_DEADLINE, there).await?
        }
    }
}

/// Passes on what one side sends, to its end.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = timeout(STALL_DEADLINE, from.read(&mut buffer)).await??;
        let write = async {
            if read == 0 {
                return to.shutdown().await;
            }
            to.write_all(&buffer[..read]).await?;
            to.flush().await
        };
        timeout(WRITE_DEADLINE, write).await??;
        if read == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::duplex;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_side_sends_arrives_and_a_silent_or_unread_side_ends_it() {
        let ((mut ours, mut from), (mut to, mut theirs)) = (duplex(4), duplex(4));
        ours.write_all(b"ab").await.unwrap();
        let began = Instant::now();
        let silent = pass(&mut from, &mut to).await.unwrap_err();
        assert_eq!((silent.kind(), began.elapsed()), (io::ErrorKind::TimedOut, STALL_DEADLINE));
        let mut read = [0; 2];
        theirs.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ab");

        let began = Instant::now();
        let sending = ours.write_all(&[0; 9]);
        let (sent, unread) = tokio::join!(sending, pass(&mut from, &mut to));
        sent.unwrap();
        assert_eq!(unread.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), WRITE_DEADLINE);
    }

    #[tokio::test]
    async fn the_end_of_a_side_is_passed_on() {
        let ((ours, mut from), (mut to, mut theirs)) = (duplex(4), duplex(4));
        drop(ours);
        pass(&mut from, &mut to).await.unwrap();
        assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
