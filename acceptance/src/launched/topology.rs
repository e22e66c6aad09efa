//! The processes, the servers, and which process holds connections to which server.

/// One of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Takes commands.
    CommandApi,
    /// Answers queries.
    QueryApi,
    /// Publishes events.
    EventRelay,
    /// Writes the read tables.
    Projector,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 4] =
        [Service::CommandApi, Service::QueryApi, Service::EventRelay, Service::Projector];

    /// Its role in the databases; each may do only what its group may.
    pub const fn role(self) -> &'static str {
        match self {
            Service::CommandApi => "command_api",
            Service::QueryApi => "query_api",
            Service::EventRelay => "event_relay",
            Service::Projector => "projector",
        }
    }

    /// Its program and what that is told to do.
    pub(crate) const fn program(self) -> (&'static str, &'static str) {
        match self {
            Service::CommandApi => ("command-api", "serve"),
            Service::QueryApi => ("query-api", "serve"),
            Service::EventRelay => ("event-relay", "run"),
            Service::Projector => ("projector", "run"),
        }
    }
}

/// A server that processes hold connections to, or one of its databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The Postgres that holds the events.
    EventStore,
    /// The keys of personal data.
    SubjectKeys,
    /// The read tables.
    ReadModel,
    /// The nats-server that carries the events.
    Nats,
}

impl Server {
    /// All of them.
    pub const ALL: [Server; 4] =
        [Server::EventStore, Server::SubjectKeys, Server::ReadModel, Server::Nats];

    /// Whether a process holds connections to it.
    pub const fn is_used_by(self, service: Service) -> bool {
        match service {
            Service::CommandApi => matches!(self, Server::EventStore | Server::SubjectKeys),
            Service::QueryApi => matches!(self, Server::ReadModel | Server::Nats),
            Service::EventRelay => matches!(self, Server::EventStore | Server::Nats),
            Service::Projector => true,
        }
    }
}
