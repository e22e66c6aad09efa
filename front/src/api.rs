//! The two APIs behind the front.

/// An API behind the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// It takes commands, log-ins and GraphQL mutations.
    Command,
    /// It answers questions, GraphQL queries and subscriptions.
    Query,
}

impl Api {
    /// Both APIs.
    pub const ALL: [Self; 2] = [Self::Command, Self::Query];

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Command => "the command API",
            Self::Query => "the query API",
        }
    }

    /// Its name in metrics, logs and readiness.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command_api",
            Self::Query => "query_api",
        }
    }
}

/// A value for each API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Both<T> {
    /// That of the command API.
    pub command: T,
    /// That of the query API.
    pub query: T,
}

impl<T> Both<T> {
    /// The value for one of them.
    pub const fn of(&self, api: Api) -> &T {
        match api {
            Api::Command => &self.command,
            Api::Query => &self.query,
        }
    }

    /// The values, with their API.
    pub fn each(&self) -> [(Api, &T); 2] {
        Api::ALL.map(|api| (api, self.of(api)))
    }
}
