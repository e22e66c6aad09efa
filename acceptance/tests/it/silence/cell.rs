//! A cell of the matrix, and its assertions.

use std::time::Duration;

use acceptance::{Kind, Launched, Server, Service, Traffic, until};
use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use super::freeze::{Freeze, Holder};
use super::work::{Work, Worker};

/// How soon a process that cannot work must report so.
const SAYS_SO: Duration = Duration::from_secs(10);
/// The minimum length of a silence. Every deadline passes meanwhile.
const SILENCE: Duration = Duration::from_secs(13);
/// Everything works again within 5 s of the end of the silence. The rest is slack for a loaded
/// machine.
const RECOVERY: Duration = Duration::from_secs(5 + 3);
/// How long a standby may take to take over: a lease expires, and the next check finds it free.
const TAKE_OVER: Duration = Duration::from_secs(20);
/// The number of clients that register users throughout.
const CLIENTS: usize = 3;
/// The number of their commands answered before the silence.
const ANSWERED: u64 = 20;
/// How long the system may take to be busy.
const BUSY_LIMIT: Duration = Duration::from_mins(1);

/// The state of a process while a kind of its connections is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It can work without them.
    Ready,
    /// It cannot work, and reports so within [`SAYS_SO`].
    NotReady,
}

/// One kind of connection of one process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) service: Service,
    pub(super) server: Server,
    pub(super) kind: Kind,
    freeze: Freeze,
    then: Then,
    goes_on: &'static [Work],
    refused: Option<Work>,
    /// The work that a second process of the service takes over.
    stand_by: Option<Work>,
}

impl Cell {
    /// Selects these connections of this process to this server.
    pub(super) const fn of(service: Service, server: Server, kind: Kind) -> Self {
        Self {
            service,
            server,
            kind,
            freeze: Freeze::Way,
            then: Then::Ready,
            goes_on: &[],
            refused: None,
            stand_by: None,
        }
    }

    /// Selects one backend of the server that works for this process, stopped where it holds rows.
    pub(super) const fn holding(service: Service, server: Server, holder: Holder) -> Self {
        Self { freeze: Freeze::Holder(holder), ..Self::of(service, server, Kind::EVERY) }
    }

    /// Sets the state of the process meanwhile.
    pub(super) const fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// Sets the work that continues throughout.
    pub(super) const fn goes_on(self, goes_on: &'static [Work]) -> Self {
        Self { goes_on, ..self }
    }

    /// Sets the work that is refused in time.
    pub(super) const fn refused(self, work: Work) -> Self {
        Self { refused: Some(work), ..self }
    }

    /// Adds a second process, which takes over this work.
    pub(super) const fn stand_by(self, work: Work) -> Self {
        Self { stand_by: Some(work), ..self }
    }
}

/// Runs a cell on a separate system.
pub(super) async fn run(cell: &Cell) -> Result<()> {
    let mut system = Launched::start_behind_ways().await?;
    if cell.stand_by.is_some() {
        system.launch_stand_by(cell.service)?;
    }
    let worker = Worker::new(system.client()?, system.log()?).await?;
    Box::pin(silence(&system, cell, cell.freeze, &worker, CLIENTS)).await?;
    if local_servers::test_run().long && cell.freeze == Freeze::Way {
        Box::pin(silence(&system, cell, Freeze::Way, &worker, 0)).await.context("without load")?;
        if cell.server != Server::Nats {
            backends_stop(&system, cell, &worker).await.context("with its backends stopped")?;
        }
    }
    let log = system.log()?;
    log.wait_until_caught_up(BUSY_LIMIT).await?;
    log.check_dense().await?;
    log.check_stream().await
}

/// Silences the connections of the cell, then resumes them.
async fn silence(
    system: &Launched,
    cell: &Cell,
    freeze: Freeze,
    worker: &Worker,
    clients: usize,
) -> Result<()> {
    let traffic = (clients > 0).then_some(Traffic::start(&system.client()?, clients));
    if let Some(traffic) = &traffic {
        until("commands are answered", BUSY_LIMIT, async || {
            Ok((traffic.answered() > ANSWERED).then_some(()))
        })
        .await?;
    }
    until("it is ready", BUSY_LIMIT, async || {
        Ok(system.readiness(cell.service).await?.ready.then_some(()))
    })
    .await?;
    let frozen = freeze.begin(system, cell).await?;
    let since = Instant::now();
    Box::pin(during(system, cell, worker, since))
        .await
        .with_context(|| system.log_of(cell.service))?;
    drop(frozen);
    recovers(system, cell, worker).await.with_context(|| system.log_of(cell.service))?;
    match traffic {
        Some(traffic) => system.log()?.check_acknowledged(&traffic.stop().await?).await,
        None => Ok(()),
    }
}

/// Checks what holds during the silence.
async fn during(system: &Launched, cell: &Cell, worker: &Worker, since: Instant) -> Result<()> {
    let watching = async {
        let mut said_so = None;
        while since.elapsed() < SILENCE {
            for other in Service::ALL.into_iter().filter(|other| *other != cell.service) {
                let readiness = system.readiness(other).await?;
                ensure!(
                    readiness.ready,
                    "{other:?} says after {:?}: {}",
                    since.elapsed(),
                    readiness.says
                );
            }
            let readiness = system.readiness(cell.service).await?;
            match cell.then {
                Then::Ready => ensure!(
                    readiness.ready,
                    "it can work and says after {:?}: {}",
                    since.elapsed(),
                    readiness.says
                ),
                Then::NotReady if readiness.ready => {
                    ensure!(
                        since.elapsed() < SAYS_SO,
                        "it cannot work and says after {:?}: {}",
                        since.elapsed(),
                        readiness.says
                    );
                }
                Then::NotReady => drop(said_so.get_or_insert_with(|| since.elapsed())),
            }
            tokio::time::sleep(acceptance::POLL * 10).await;
        }
        eprintln!("not ready after {said_so:?}");
        Ok(())
    };
    let working = async {
        loop {
            for work in cell.goes_on {
                worker.does(*work).await.context("it does not go on")?;
            }
            if since.elapsed() > SILENCE {
                return Ok(());
            }
            tokio::time::sleep(acceptance::POLL).await;
        }
    };
    let refused = async {
        match cell.refused {
            Some(work) => worker.is_refused(work).await,
            None => Ok(()),
        }
    };
    let taken_over = async {
        let Some(work) = cell.stand_by else { return Ok(()) };
        until("the stand-by has taken over", TAKE_OVER, async || worker.does(work).await.map(Some))
            .await?;
        eprintln!("taken over after {:?}", since.elapsed());
        Ok(())
    };
    tokio::try_join!(watching, working, refused, taken_over).map(drop)
}

/// Checks that everything works again by itself.
async fn recovers(system: &Launched, cell: &Cell, worker: &Worker) -> Result<()> {
    let since = Instant::now();
    until("everything works again", RECOVERY, async || {
        let readiness = system.readiness(cell.service).await?;
        ensure!(readiness.ready, readiness.says);
        for work in [Work::Register, Work::Query, Work::List, Work::Show, Work::Publish] {
            worker.does(work).await?;
        }
        Ok(Some(()))
    })
    .await?;
    eprintln!("everything works again {:?} after the silence", since.elapsed());
    Ok(())
}

/// Stops the backends of an idle process. It must recover with other backends before these
/// continue.
async fn backends_stop(system: &Launched, cell: &Cell, worker: &Worker) -> Result<()> {
    let frozen = Freeze::Backends.begin(system, cell).await?;
    until("it works on new connections", TAKE_OVER, async || {
        let readiness = system.readiness(cell.service).await?;
        ensure!(readiness.ready, readiness.says);
        for work in [Work::Register, Work::Query, Work::List, Work::Show] {
            worker.does(work).await?;
        }
        Ok(Some(()))
    })
    .await?;
    drop(frozen);
    recovers(system, cell, worker).await
}
