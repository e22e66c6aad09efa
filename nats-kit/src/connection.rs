//! The process's one connection to NATS. It notices a dead server within seconds, and reconnects to
//! an absent one in the background.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{ConnectOptions, ServerAddr};
use cli_kit::Usage;
use secrecy::{ExposeSecret as _, SecretString};

/// The interval of pings. A dead connection is noticed after two unanswered ones.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The limit of any request to NATS.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MOST: Duration = Duration::from_secs(2);
/// What an address looks like.
const EXPECTED: &str = "expected nats://[user:password@]host[:port]";
/// The number of messages that may wait in one subscription. The client drops further ones, and the
/// follower then reads the store.
const SUBSCRIPTION_CAPACITY: usize = 8_192;

/// Why a connection could not be prepared. An absent server is not an error, because the client
/// keeps trying.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// The address is not valid. The text does not repeat it, because it may hold a password.
    #[error("NATS_URL is not valid")]
    Address(#[source] Usage),
    /// The client did not start, or no server answered in time.
    #[error("cannot connect to NATS")]
    Connect(#[source] async_nats::ConnectError),
}

/// A connection to NATS that reconnects by itself. Clones are cheap.
#[derive(Debug, Clone)]
pub struct NatsHandle {
    client: async_nats::Client,
}

impl NatsHandle {
    /// Prepares a connection and returns at once. The connection is made in the background, and
    /// again whenever it breaks.
    ///
    /// `name` identifies this client to the server's operators. Passwords in `url` appear in no log
    /// and no error.
    ///
    /// # Errors
    /// [`NatsError`] if the address is not valid.
    pub async fn connect(url: &str, name: &str) -> Result<Self, NatsError> {
        let servers = servers(url)?;
        let options = options(&servers, name)
            .retry_on_initial_connect()
            .event_callback(|event| async move { tracing::info!(%event, "nats connection") });
        let client = options.connect(servers).await.map_err(NatsError::Connect)?;
        Ok(Self { client })
    }

    /// Prepares a connection like [`NatsHandle::connect`] if there is an address, for a process
    /// that can do without NATS.
    ///
    /// # Errors
    /// [`NatsError`] if the address is not valid.
    pub async fn connect_if(
        url: Option<&SecretString>,
        name: &str,
    ) -> Result<Option<Self>, NatsError> {
        match url {
            Some(url) => Self::connect(url.expose_secret(), name).await.map(Some),
            None => Ok(None),
        }
    }

    /// Connects now, for a command that is of no use without NATS.
    ///
    /// # Errors
    /// [`NatsError`] if the address is not valid, or no server answers there.
    pub async fn connect_now(url: &str, name: &str) -> Result<Self, NatsError> {
        let servers = servers(url)?;
        let client = options(&servers, name).connect(servers).await.map_err(NatsError::Connect)?;
        Ok(Self { client })
    }

    /// The client, for core subjects.
    pub fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// Whether the connection is up, as far as this side knows.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// A context for JetStream requests, each with a deadline.
    pub fn jetstream(&self) -> jetstream::Context {
        let mut context = jetstream::new(self.client.clone());
        context.set_timeout(REQUEST_TIMEOUT);
        context
    }
}

/// Reads addresses, separated by commas.
fn servers(url: &str) -> Result<Vec<ServerAddr>, NatsError> {
    let servers = url.split(',').map(|server| server.trim().parse::<ServerAddr>());
    servers.collect::<Result<_, _>>().map_err(|_| NatsError::Address(Usage(EXPECTED.to_owned())))
}

fn options(servers: &[ServerAddr], name: &str) -> ConnectOptions {
    // The client does not use the login of an address by itself.
    let login = servers
        .iter()
        .find_map(|server| Some((server.username()?.to_owned(), server.password()?.to_owned())));
    let options = match login {
        Some((user, password)) => ConnectOptions::with_user_and_password(user, password),
        None => ConnectOptions::new(),
    };
    options
        .name(name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECTION_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .reconnect_delay_callback(|attempts| {
            let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(5);
            RECONNECT_FIRST.saturating_mul(1 << doublings).min(RECONNECT_MOST)
        })
}
