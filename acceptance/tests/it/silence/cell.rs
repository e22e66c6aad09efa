//! A cell of the matrix, and what is asserted of it.

use std::time::Duration;

use acceptance::{Kind, Launched, Server, Service, Traffic, until};
use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use super::freeze::{Freeze, Holder};
use super::work::{Work, Worker};

/// Within so much a process that cannot work says so.
const SAYS_SO: Duration = Duration::from_secs(10);
/// For how long it is silent at least: every deadline passes meanwhile.
const SILENCE: Duration = Duration::from_secs(13);
/// Within 5 s of the end of the silence everything works again. The rest is slack for a machine
/// that does other work.
const RECOVERY: Duration = Duration::from_secs(5 + 3);
/// How long a stand-by may take to take over: a lease runs out, and the next look finds it free.
const TAKE_OVER: Duration = Duration::from_secs(20);
/// Clients that register users all the while.
const CLIENTS: usize = 3;
/// So many of their commands are answered before the silence.
const ANSWERED: u64 = 20;
/// How long the system may take to be busy.
const BUSY_LIMIT: Duration = Duration::from_mins(1);

/// What a process is while a kind of its connections is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It can work without them.
    Ready,
    /// It cannot work, and says so within [`SAYS_SO`].
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
    /// What a second process of the service does in its place.
    stand_by: Option<Work>,
}

impl Cell {
    /// These connections of this process to this server.
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

    /// One backend of the server that works for this process, stopped where it holds rows.
    pub(super) const fn holding(service: Service, server: Server, holder: Holder) -> Self {
        Self { freeze: Freeze::Holder(holder), ..Self::of(service, server, Kind::EVERY) }
    }

    /// What the process is meanwhile.
    pub(super) const fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// What is done all the while.
    pub(super) const fn goes_on(self, goes_on: &'static [Work]) -> Self {
        Self { goes_on, ..self }
    }

    /// What is refused in time.
    pub(super) const fn refused(self, work: Work) -> Self {
        Self { refused: Some(work), ..self }
    }

    /// There is a second process, which does this in the first one's place.
    pub(super) const fn stand_by(self, work: Work) -> Self {
        Self { stand_by: Some(work), ..self }
    }
}

/// Runs a cell on a system of its own.
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

/// The connections of the cell fall silent, and speak again.
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

/// What holds during the silence.
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

/// Everything works again, by itself.
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

/// The backends that serve a process stop, while it is at rest; it helps itself with others, before
/// they go on.
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
