//! The processes, the servers, and which process connects to which server.

/// One of the four processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// The process that takes commands.
    CommandApi,
    /// The process that answers queries.
    QueryApi,
    /// The process that publishes events.
    EventRelay,
    /// The process that writes the read tables.
    Projector,
}

impl Service {
    /// All processes.
    pub const ALL: [Service; 4] =
        [Service::CommandApi, Service::QueryApi, Service::EventRelay, Service::Projector];

    /// The process's database role, with only the rights of its groups.
    pub const fn role(self) -> &'static str {
        match self {
            Service::CommandApi => "command_api",
            Service::QueryApi => "query_api",
            Service::EventRelay => "event_relay",
            Service::Projector => "projector",
        }
    }

    /// The program and its subcommand.
    pub(crate) const fn program(self) -> (&'static str, &'static str) {
        match self {
            Service::CommandApi => ("command-api", "serve"),
            Service::QueryApi => ("query-api", "serve"),
            Service::EventRelay => ("event-relay", "run"),
            Service::Projector => ("projector", "run"),
        }
    }
}

/// A server that processes connect to, or one of its databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The Postgres cluster with the events.
    EventStore,
    /// The database with the keys of personal data.
    SubjectKeys,
    /// The Postgres cluster with the read tables.
    ReadModel,
    /// The nats-server that transports the events.
    Nats,
}

impl Server {
    /// All servers.
    pub const ALL: [Server; 4] =
        [Server::EventStore, Server::SubjectKeys, Server::ReadModel, Server::Nats];

    /// Whether a process connects to this server.
    pub const fn is_used_by(self, service: Service) -> bool {
        match service {
            Service::CommandApi => matches!(self, Server::EventStore | Server::SubjectKeys),
            Service::QueryApi => matches!(self, Server::ReadModel | Server::Nats),
            Service::EventRelay => matches!(self, Server::EventStore | Server::Nats),
            Service::Projector => true,
        }
    }
}
