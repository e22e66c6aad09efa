//! The settings of the process.

use service_kit::config::{
    AllowedArgs, Callers, LimitArgs, Listen, ListenAddr, ListenRefused, LogArgs, LoopbackAddr,
    NatsUrlArgs, TlsArgs,
};

use crate::address::Address;
use crate::api::Both;
use crate::upstream::{ANSWER_DEADLINE, UpstreamLimits};

/// Puts both APIs behind one address.
#[derive(Debug, clap::Parser)]
#[command(name = "front", version)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve until a signal stops it.
    Serve(Box<ServeArgs>),
}

/// The settings of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The one address of both APIs. Beyond loopback it needs TLS, here or in the trusted proxies.
    #[arg(long = "listen", env = "FRONT_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: ListenAddr,
    /// The address of the admin port; loopback only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9084")]
    pub admin_listen: LoopbackAddr,
    /// The address of the command API.
    #[arg(
        long,
        env = "COMMAND_API_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub command_api_url: Address,
    /// The address of the query API.
    #[arg(
        long,
        env = "QUERY_API_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8081"
    )]
    pub query_api_url: Address,
    /// NATS. The front registers there, and shows at `/processes` of its admin port who else does.
    #[command(flatten)]
    pub nats: NatsUrlArgs,
    /// Maximum number of requests to each API at once. Beyond it, a request gets a 503.
    #[arg(long, env = "UPSTREAM_REQUESTS", default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub upstream_requests: u32,
    /// Maximum number of open streams and web sockets of each API. They do not count as requests.
    #[arg(long, env = "UPSTREAM_STREAMS", default_value_t = 1024,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub upstream_streams: u32,
    /// The names of the server, and the web origins that may call it from a browser.
    #[command(flatten)]
    pub allowed: AllowedArgs,
    /// The limits of the public port.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The certificate of the public port.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// The log settings.
    #[command(flatten)]
    pub log: LogArgs,
}

impl ServeArgs {
    /// Where the front listens. The APIs behind it find out who calls.
    ///
    /// # Errors
    /// [`ListenRefused`]: its callers would not be protected.
    pub fn public(&self) -> Result<Listen, ListenRefused> {
        self.limits.listen(("FRONT_LISTEN", self.listen), Callers::Known, &self.tls)
    }

    /// The addresses of the APIs.
    pub fn addresses(&self) -> Both<Address> {
        Both { command: self.command_api_url.clone(), query: self.query_api_url.clone() }
    }

    /// How much the front asks of each API at once.
    pub fn upstream_limits(&self) -> UpstreamLimits {
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        UpstreamLimits {
            requests: size(self.upstream_requests),
            streams: size(self.upstream_streams),
            deadline: ANSWER_DEADLINE,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
