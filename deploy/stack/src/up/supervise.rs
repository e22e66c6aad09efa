//! The supervisor: cleans up after a killed one, starts the servers, migrates the databases, starts
//! the processes, and keeps `endpoints.json` current. The first signal stops everything cleanly,
//! the second at once.
//!
//! A server that does not start ends the stack. A process that does not become ready does not:
//! fixing it may need the others, as a rebuild needs the database.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use local_servers::{Account, RabbitMqNode, postmaster_data};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};

use crate::build::Programs;
use crate::choose::{Servers, Wanted, choose};
use crate::endpoints::Endpoints;
use crate::identity::Holder;
use crate::layout::{Layout, private_folder, remove_file, remove_folder};
use crate::ports::Ports;
use crate::secrets::{KeyFiles, Passwords};
use crate::settings::{POSTGRES_CONNECTIONS, RABBITMQ_USER, Settings};
use crate::supervisor::{LogView, Readiness, Service, Supervisor};
use crate::{database, down, nats};

/// All permissions of other users.
const OTHERS: u32 = 0o077;

/// Runs the stack until a signal comes. `settled` is called once everything is ready, or once
/// waiting longer is useless. The stack then keeps running, so that the cause can be fixed.
pub(super) async fn run(
    layout: &Layout,
    wanted: Wanted,
    programs: Programs,
    view: LogView,
    settled: impl FnOnce(&Endpoints) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let lock = layout.lock()?.context("another `cargo stack up` is running this stack")?;
    let mut signals = Signals::new()?;
    // Files of the processes are private to the stack's owner.
    umask(Mode::from_bits_truncate(OTHERS));
    remove_file(&layout.endpoints())?;
    remove_folder(&layout.resting())?;
    down::end_leftovers(layout).await?;
    let servers = choose(layout, wanted)?;
    let (ports, locks) = Ports::pick()?;
    let settings = Settings {
        programs,
        ports,
        passwords: Passwords::ensure(layout)?,
        keys: KeyFiles::ensure()?,
        identity_cache: layout.identity_cache(),
        mails: layout.mails(),
        sandbox: layout.sandbox(),
        rabbitmq: wanted.rabbitmq,
    };
    std::fs::create_dir_all(&settings.mails).context("the folder of mails cannot be made")?;
    let holder = Holder::own(layout)?;
    let mut supervisor = Supervisor::new(layout, holder.clone(), view)?;
    let result = tokio::select! {
        result = live(layout, &servers, &settings, holder, &mut supervisor, settled) => result,
        () = signals.next() => Ok(()),
    };
    remove_file(&layout.endpoints())?;
    eprintln!("stack: stopping");
    tokio::select! {
        () = supervisor.stop() => {}
        // Dropping the processes ends those that still run.
        () = signals.next() => eprintln!("stack: stopped at once"),
    }
    remove_file(&layout.running())?;
    drop((locks, lock));
    result.map(|()| ExitCode::SUCCESS)
}

async fn live(
    layout: &Layout,
    servers: &Servers,
    settings: &Settings,
    holder: Holder,
    supervisor: &mut Supervisor,
    settled: impl FnOnce(&Endpoints) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    start_postgres(layout, servers, settings, supervisor).await?;
    supervisor.start(nats_service(layout, servers, settings)?)?;
    database::prepare(settings).await?;
    supervisor.ready("nats").await?;
    if let Some(service) = rabbitmq_service(layout, servers, settings)? {
        supervisor.start(service)?;
        supervisor.ready("rabbitmq").await?;
    }
    let endpoints = settings.endpoints(holder);
    let services = [
        ("command-api", settings.command_api(), &endpoints.admin.command_api),
        ("event-relay", settings.event_relay(), &endpoints.admin.event_relay),
        ("projector", settings.projector(), &endpoints.admin.projector),
        ("query-api", settings.query_api(), &endpoints.admin.query_api),
        ("front", settings.front(), &endpoints.admin.front),
        ("sandbox", settings.sandbox(), &endpoints.admin.sandbox),
        ("process-manager", settings.process_manager(), &endpoints.admin.process_manager),
    ];
    for (name, command, admin) in services {
        let readiness = Readiness::Http(admin.clone());
        supervisor.start(Service {
            name,
            command,
            account: Account::Own,
            stop: Signal::SIGTERM,
            readiness,
        })?;
    }
    for (name, _) in endpoints.admin_ports() {
        if let Err(error) = supervisor.ready(name).await {
            eprintln!("stack: {error:#}");
        }
    }
    let (mut changes, mut resting) = (supervisor.changes(), signal(SignalKind::user_defined1())?);
    let now = |supervisor: &Supervisor| Endpoints { pids: supervisor.pids(), ..endpoints.clone() };
    now(supervisor).write(layout)?;
    settled(&now(supervisor))?;
    loop {
        tokio::select! {
            changed = changes.changed() => changed.context("the supervisor is gone")?,
            _ = resting.recv() => supervisor.obey(),
        }
        now(supervisor).write(layout)?;
    }
}

async fn start_postgres(
    layout: &Layout,
    servers: &Servers,
    settings: &Settings,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let (account, data) = (Account::unprivileged(), layout.postgres_data());
    refuse_copy(&data)?;
    if !data.exists() {
        // The folder gets its final name when it is complete. An interrupted one is created again.
        let draft = data.with_extension("draft");
        remove_folder(&draft)?;
        let (binaries, password, to) =
            (servers.postgres.clone(), settings.passwords.owner.clone(), draft.clone());
        tokio::task::spawn_blocking(move || {
            binaries.init(&to, account, Some(password.expose_secret()), true)
        })
        .await??;
        std::fs::rename(&draft, &data)
            .with_context(|| format!("cannot create {}", data.display()))?;
    }
    let limits = [("max_connections".to_owned(), POSTGRES_CONNECTIONS.to_owned())];
    let command: Command = servers.postgres.server(&data, settings.ports.postgres, &limits);
    let readiness = Readiness::Postmaster(data);
    supervisor.start(Service {
        name: "postgres",
        command,
        account,
        stop: Signal::SIGINT,
        readiness,
    })?;
    supervisor.ready("postgres").await
}

/// Refuses a cluster that was copied while it ran. Its files are inconsistent, and the original's
/// server may still run.
fn refuse_copy(data: &Path) -> anyhow::Result<()> {
    let Some(original) = postmaster_data(data) else { return Ok(()) };
    // A folder that was moved after a crash has no original and is accepted.
    let (Ok(original), Ok(data)) = (original.canonicalize(), data.canonicalize()) else {
        return Ok(());
    };
    anyhow::ensure!(
        original == data,
        "{} was copied from {} while that ran, so it is broken: use `cargo stack reset` for a \
            new one, or copy it again after \
         `cargo stack down`",
        data.display(),
        original.display()
    );
    Ok(())
}

fn nats_service(
    layout: &Layout,
    servers: &Servers,
    settings: &Settings,
) -> anyhow::Result<Service> {
    let port = settings.ports.nats;
    let command = settings
        .nats_server(&servers.nats, &nats::write_config(layout, port, &settings.passwords)?);
    Ok(Service {
        name: "nats",
        command,
        account: Account::Own,
        stop: Signal::SIGTERM,
        readiness: Readiness::Nats(port, layout.name()),
    })
}

/// RabbitMQ, if it is to run.
fn rabbitmq_service(
    layout: &Layout,
    servers: &Servers,
    settings: &Settings,
) -> anyhow::Result<Option<Service>> {
    let Some(programs) = &servers.rabbitmq else { return Ok(None) };
    let (home, name) = (layout.rabbitmq(), layout.name());
    private_folder(&home)?;
    let node = RabbitMqNode {
        home: &home,
        name: &name,
        port: settings.ports.rabbitmq,
        tools_port: settings.ports.rabbitmq_tools,
        user: RABBITMQ_USER,
        password: settings.passwords.owner.expose_secret(),
    };
    Ok(Some(Service {
        name: "rabbitmq",
        command: programs.server(&node)?,
        account: Account::Own,
        stop: Signal::SIGTERM,
        readiness: Readiness::RabbitMq(node.port, name.clone()),
    }))
}

/// The signals that stop the supervisor.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
