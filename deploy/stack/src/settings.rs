//! The settings of each process in the stack: its database role, ports and key files.

use std::path::{Path, PathBuf};
use std::process::Command;

use secrecy::SecretString;

use crate::build::Programs;
use crate::endpoints::{Admin, Endpoints};
use crate::identity::Holder;
use crate::ports::Ports;
use crate::secrets::{KeyFiles, Passwords, address};

/// The database of all schemas but one. Each could also have a separate database.
pub const DATABASE: &str = "daybook";
/// The database of subject keys. It is separate so that no backup of the log contains the keys to
/// its personal data.
pub const KEYS_DATABASE: &str = "daybook_keys";

/// The variable with the number of threads of tokio's runtime.
const WORKER_THREADS: &str = "TOKIO_WORKER_THREADS";
/// The variable with the number of threads of nats-server's runtime.
const NATS_THREADS: &str = "GOMAXPROCS";
/// The maximum number of connections of each API.
const MAX_CONNECTIONS: &str = "1024";
/// The maximum number of connections of Postgres. Those of all processes must fit.
pub(crate) const POSTGRES_CONNECTIONS: &str = "200";
/// The user that RabbitMQ creates with its data.
pub(crate) const RABBITMQ_USER: &str = "ops";
/// What signs the events of the sandbox. It protects nothing: the sandbox moves no money.
const WEBHOOK_SECRET: &str = "whsec_sandbox";
/// The number of our processes that share the machine.
const PROCESSES: usize = 7;

/// The data from which the processes' settings are made.
#[derive(Debug)]
pub struct Settings {
    /// The programs to run.
    pub programs: Programs,
    /// The ports to listen on.
    pub ports: Ports,
    /// The passwords to sign in with.
    pub passwords: Passwords,
    /// The key files.
    pub keys: KeyFiles,
    /// The folder of the query API's copies of the public keys and of the revocation list. The
    /// projector's are in a folder below it.
    pub identity_cache: PathBuf,
    /// The folder of the mails that the command API sends.
    pub mails: PathBuf,
    /// The file of the payments and shipments of the sandbox.
    pub sandbox: PathBuf,
    /// Whether RabbitMQ runs.
    pub rabbitmq: bool,
}

impl Settings {
    /// The database's address for a role.
    pub fn postgres(&self, role: &str, password: &SecretString) -> String {
        address("postgres", role, password, self.ports.postgres, &format!("/{DATABASE}"))
    }

    /// The address of the subject key database for a role.
    fn subject_keys(&self, role: &str, password: &SecretString) -> String {
        address("postgres", role, password, self.ports.postgres, &format!("/{KEYS_DATABASE}"))
    }

    /// The address of the subject key database for the superuser.
    pub fn subject_keys_owner(&self) -> String {
        self.subject_keys("postgres", &self.passwords.owner)
    }

    /// The database's address for the superuser.
    pub fn postgres_owner(&self) -> String {
        self.postgres("postgres", &self.passwords.owner)
    }

    fn nats(&self, user: &str, password: &SecretString) -> String {
        address("nats", user, password, self.ports.nats, "")
    }

    /// RabbitMQ's address for its one user.
    fn rabbitmq(&self) -> String {
        address("amqp", RABBITMQ_USER, &self.passwords.owner, self.ports.rabbitmq, "")
    }

    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.path(name));
        command.args(arguments);
        share_cores(&mut command, WORKER_THREADS);
        if let Some(log) = std::env::var_os("LOG") {
            command.env("LOG", log);
        }
        command
    }

    /// The command `command-api serve`.
    pub fn command_api(&self) -> Command {
        let mut command = self.program("command-api", &["serve"]);
        let url = self.postgres("command_api", &self.passwords.command_api);
        command.env("EVENT_STORE_URL", &url).env("AUTH_URL", &url);
        command.env("COMMAND_API_LISTEN", loopback(self.ports.command_api));
        command.env("ADMIN_LISTEN", loopback(self.ports.command_api_admin));
        command
            .env("SUBJECT_KEYS_URL", self.subject_keys("command_api", &self.passwords.command_api));
        command.env("MASTER_KEY_FILE", &self.keys.master);
        command
            .env("RESERVATION_KEY_FILE", &self.keys.reservation)
            .env("TOKEN_KEY_FILE", &self.keys.token);
        command.env("ACCESS_TOKEN_KEYS_FILE", &self.keys.access_tokens);
        command.env("PUBLIC_QUERY_URL", http(self.ports.front));
        command.env("MAIL_FOLDER", &self.mails);
        command.env("ALLOWED_ORIGINS", "loopback").env("ORDER_IMPORT", "enabled");
        // Imports and benches send all that a process can take, as one user.
        command.env("RATE_LIMITS", "off");
        share_connections(&mut command);
        share_postgres(&mut command, 20, 8);
        command
    }

    /// The command `query-api serve`.
    pub fn query_api(&self) -> Command {
        let mut command = self.program("query-api", &["serve"]);
        command.env("READ_MODEL_URL", self.postgres("query_api", &self.passwords.query_api));
        command.env("NATS_URL", self.nats("query_api", &self.passwords.query_api));
        command.env("QUERY_API_LISTEN", loopback(self.ports.query_api));
        command.env("ADMIN_LISTEN", loopback(self.ports.query_api_admin));
        command.env("TOKEN_KEY_FILE", &self.keys.token).env("CURSOR_KEY_FILE", &self.keys.cursor);
        command.env("IDENTITY_URL", http(self.ports.command_api));
        command.env("IDENTITY_CACHE", &self.identity_cache);
        command.env("ALLOWED_ORIGINS", "loopback").env("RATE_LIMITS", "off");
        command.env("GRAPHIQL", "enabled");
        share_connections(&mut command);
        share_postgres(&mut command, 34, 14);
        command
    }

    /// The command `event-relay run`.
    pub fn event_relay(&self) -> Command {
        let mut command = self.program("event-relay", &["run"]);
        command.env("EVENT_STORE_URL", self.postgres("event_relay", &self.passwords.event_relay));
        command.env("NATS_URL", self.nats("event_relay", &self.passwords.event_relay));
        command.env("ADMIN_LISTEN", loopback(self.ports.event_relay_admin));
        if self.rabbitmq {
            command.env("RELAY_TARGETS", "nats,rabbitmq").env("RABBITMQ_URL", self.rabbitmq());
        }
        share_postgres(&mut command, 8, 2);
        command
    }

    /// The command `projector run`.
    pub fn projector(&self) -> Command {
        let mut command = self.program("projector", &["run"]);
        let url = self.postgres("projector", &self.passwords.projector);
        command.env("EVENT_STORE_URL", &url).env("READ_MODEL_URL", &url);
        command.env("SUBJECT_KEYS_URL", self.subject_keys("projector", &self.passwords.projector));
        command.env("MASTER_KEY_FILE", &self.keys.master);
        command.env("NATS_URL", self.nats("projector", &self.passwords.projector));
        command.env("ADMIN_LISTEN", loopback(self.ports.projector_admin));
        command.env("IDENTITY_URL", http(self.ports.command_api));
        command.env("IDENTITY_CACHE", self.identity_cache.join("projector"));
        share_postgres(&mut command, 8, 3);
        command
    }

    /// The command `front serve`.
    pub fn front(&self) -> Command {
        let mut command = self.program("front", &["serve"]);
        command.env("FRONT_LISTEN", loopback(self.ports.front));
        command.env("ADMIN_LISTEN", loopback(self.ports.front_admin));
        command.env("COMMAND_API_URL", http(self.ports.command_api));
        command.env("QUERY_API_URL", http(self.ports.query_api));
        command.env("UPSTREAM_REQUESTS", MAX_CONNECTIONS).env("ALLOWED_ORIGINS", "loopback");
        share_connections(&mut command);
        command
    }

    /// The command `process-manager run`.
    pub fn process_manager(&self) -> Command {
        let (mut command, password) =
            (self.program("process-manager", &["run"]), &self.passwords.process_manager);
        command.env("EVENT_STORE_URL", self.postgres("process_manager", password));
        command.env("SUBJECT_KEYS_URL", self.subject_keys("process_manager", password));
        command.env("MASTER_KEY_FILE", &self.keys.master);
        command.env("NATS_URL", self.nats("process_manager", password));
        command.env("ADMIN_LISTEN", loopback(self.ports.process_manager_admin));
        command.env("IDENTITY_URL", http(self.ports.command_api));
        command.env("IDENTITY_CACHE", self.identity_cache.join("process-manager"));
        command.env("WEBHOOK_LISTEN", loopback(self.ports.webhooks));
        command.env("PAYMENT_WEBHOOK_SECRET", WEBHOOK_SECRET);
        command.env("SHIPPING_WEBHOOK_SECRET", WEBHOOK_SECRET);
        command.env("PAYMENT_PROVIDER", "sandbox").env("SHIPPING_PROVIDER", "sandbox");
        command.env("PAYMENT_SANDBOX", http(self.ports.sandbox));
        command.env("SHIPPING_SANDBOX", http(self.ports.sandbox));
        share_postgres(&mut command, 8, 3);
        command
    }

    /// The command `sandbox`.
    pub fn sandbox(&self) -> Command {
        let mut command = self.program("sandbox", &[]);
        command.env("SANDBOX_LISTEN", loopback(self.ports.sandbox));
        command.env("ADMIN_LISTEN", loopback(self.ports.sandbox_admin));
        command.env("SANDBOX_STATE", &self.sandbox);
        command.env("SANDBOX_WEBHOOK_ADDRESS", http(self.ports.webhooks));
        command.env("SANDBOX_WEBHOOK_SECRET", WEBHOOK_SECRET);
        command
    }

    /// The commands that migrate the schemas, as the database owner.
    pub fn migrations(&self) -> [Command; 5] {
        let owner = self.postgres_owner();
        let mut event_store = self.program("command-api", &["migrate", "event-store"]);
        event_store.env("EVENT_STORE_URL", &owner);
        let mut auth = self.program("command-api", &["migrate", "auth"]);
        auth.env("AUTH_URL", &owner);
        let mut keys = self.program("command-api", &["migrate", "subject-keys"]);
        keys.env("SUBJECT_KEYS_URL", self.subject_keys_owner());
        let mut read_model = self.program("projector", &["migrate"]);
        read_model.env("READ_MODEL_URL", &owner).env("EVENT_STORE_URL", &owner);
        let mut sagas = self.program("process-manager", &["migrate"]);
        sagas.env("EVENT_STORE_URL", &owner);
        [event_store, auth, keys, read_model, sagas]
    }

    /// All addresses, without the process ids.
    pub fn endpoints(&self, holder: Holder) -> Endpoints {
        Endpoints {
            holder,
            front: http(self.ports.front),
            command_api: http(self.ports.command_api),
            query_api: http(self.ports.query_api),
            sandbox: http(self.ports.sandbox),
            postgres: self.postgres_owner(),
            subject_keys: self.subject_keys_owner(),
            programs: self.programs.folder.clone(),
            profile: self.programs.profile.clone(),
            nats: self.nats("ops", &self.passwords.owner),
            rabbitmq: self.rabbitmq.then(|| self.rabbitmq()),
            admin: Admin {
                command_api: http(self.ports.command_api_admin),
                query_api: http(self.ports.query_api_admin),
                event_relay: http(self.ports.event_relay_admin),
                projector: http(self.ports.projector_admin),
                front: http(self.ports.front_admin),
                process_manager: http(self.ports.process_manager_admin),
                sandbox: http(self.ports.sandbox_admin),
            },
            pids: std::collections::BTreeMap::new(),
        }
    }

    /// The command that starts nats-server with this configuration.
    pub fn nats_server(&self, program: &Path, config: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(config);
        share_cores(&mut command, NATS_THREADS);
        command
    }
}

/// All clients of a local stack share one address, so it may hold all connections.
fn share_connections(command: &mut Command) {
    command.env("MAX_CONNECTIONS_PER_ADDRESS", MAX_CONNECTIONS);
}

/// Limits a process's pools, so that all processes share one Postgres: at most so many connections,
/// and so many unused ones.
fn share_postgres(command: &mut Command, most: u32, idle: u32) {
    command.env("DATABASE_CONNECTIONS", most.to_string());
    command.env("DATABASE_IDLE_CONNECTIONS", idle.to_string());
}

/// Limits a process's threads to its share of the cores. With a thread per core in each process,
/// the threads would compete for the same cores. The user's own setting takes precedence.
fn share_cores(command: &mut Command, variable: &str) {
    if std::env::var_os(variable).is_none() {
        let threads =
            std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(PROCESSES));
        command.env(variable, threads.to_string());
    }
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
