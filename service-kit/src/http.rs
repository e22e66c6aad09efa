//! The HTTP server and the layers of every API: request ids, traces, problem details, metrics,
//! CORS, limits of size, time and number, and security headers. Each process adds its routes.

mod accept;
mod address;
mod allowed;
mod answer;
mod body_budget;
mod client;
mod connection;
mod connections;
mod context;
mod deprecation;
mod forwarded;
mod hosts;
mod layers;
mod limits;
pub(crate) mod listen;
mod origins;
mod protocol;
mod public_version;
mod rate;
mod rates;
mod refuse;
mod screen;
mod serve;
mod single;
mod stall;
mod step;
mod streams;
pub(crate) mod tls;
mod unread;
mod upgrade;
mod version;
mod wire;

pub use accept::MediaRanges;
pub use address::{ProxyError, TrustedProxies, subscriber};
pub(crate) use allowed::Admit;
pub use allowed::Allowed;
pub use body_budget::{BodyBudget, OverBudget};
pub use client::ClientAddress;
pub use context::{OwnFormat, RequestId, TraceParent};
pub use deprecation::Deprecation;
pub use forwarded::ForwardedHeader;
pub use hosts::{Hosts, InvalidHost};
pub use layers::{BODY_DEADLINE, BODY_LIMIT, Layers, REQUEST_DEADLINE, layered};
pub use limits::{
    HEAD_DEADLINE, Limits, MAX_BODY_BYTES, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS,
};
pub use origins::{OriginError, Origins};
pub use public_version::{Version, versions};
pub use rate::{InvalidRate, Left, RateAddress, RateKey, RateLimit, RateLimits};
pub use rates::{InvalidRates, RateSettings, Rates, UnknownOperation};
pub(crate) use screen::Screen;
pub use screen::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES};
pub use serve::{Port, Ports, ServeError, bind, serve};
pub use single::{SingleError, single};
pub use step::{Step, StepLayer, Stepped, Stepping};
pub use tls::{HANDSHAKE_DEADLINE, Tls, TlsError};
pub use upgrade::{KeptConnection, asks_for_web_socket};
pub use version::{ApiVersion, Versions, versioned};
