//! The settings of live updates.

use std::num::NonZeroUsize;

/// The settings of live updates.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LiveArgs {
    /// The maximum number of open streams of live updates. A web socket counts as one, and so does
    /// each of its subscriptions. Keep it well below the maximum number of connections, so that
    /// streams leave some for requests.
    #[arg(long, env = "LIVE_STREAMS", default_value = "500")]
    pub live_streams: NonZeroUsize,
    /// The maximum number of open streams of one user, and without one of one address.
    #[arg(long, env = "LIVE_STREAMS_PER_CLIENT", default_value = "20")]
    pub live_streams_per_client: NonZeroUsize,
    /// The maximum number of bytes that wait for one client. A client that reads more slowly is
    /// dropped, and may resume.
    #[arg(long, env = "LIVE_BUFFER_BYTES", default_value = "262144")]
    pub live_buffer_bytes: NonZeroUsize,
}

/// The limits of live updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSettings {
    /// The maximum number of open streams.
    pub streams: usize,
    /// The maximum number of open streams of one client.
    pub per_client: usize,
    /// The maximum number of bytes that wait for one client.
    pub buffer_bytes: usize,
}

impl LiveArgs {
    /// The limits that they set.
    pub const fn settings(&self) -> LiveSettings {
        LiveSettings {
            streams: self.live_streams.get(),
            per_client: self.live_streams_per_client.get(),
            buffer_bytes: self.live_buffer_bytes.get(),
        }
    }
}
