//! The one rule about the end of a process.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use local_servers::{finish, in_time};
use service_kit::config::LoopbackAddr;
use service_kit::http::{Limits, Port, Ports, ServeError};
use service_kit::process::{Process, ProcessError};
use service_kit::shutdown::Shutdown;
use service_kit::telemetry::Metrics;
use tokio::net::TcpListener;

use crate::support::{Client, api, get_of};

/// The most time that sending a signal may take.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// An error of the work, or of the process.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the work failed")]
    Work,
    #[error(transparent)]
    Process(#[from] ProcessError),
}

async fn free() -> LoopbackAddr {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    LoopbackAddr::new(address).unwrap()
}

fn process() -> (Arc<Process>, Shutdown) {
    let shutdown = Shutdown::manual();
    (Arc::new(Process::with(Metrics::detached().unwrap(), shutdown.clone())), shutdown)
}

async fn ports(process: &Process, address: LoopbackAddr, router: Router) -> Ports {
    let public = vec![Port::public(address, router, Limits::default())];
    Ports { public, admin: process.admin(free().await) }
}

async fn connect(address: LoopbackAddr) -> Client {
    in_time("the port", async {
        loop {
            if let Ok(stream) = tokio::net::TcpStream::connect(address.get()).await {
                return Client(stream);
            }
        }
    })
    .await
}

#[tokio::test]
async fn work_that_fails_ends_serving_with_its_error() {
    let (process, _) = process();
    let ports = ports(&process, free().await, Router::new()).await;
    let ended = in_time("the end", process.run(ports, async { Err(Failed::Work) })).await;
    assert!(matches!(ended, Err(Failed::Work)), "{ended:?}");
    assert!(process.health().report().draining);
}

#[tokio::test]
async fn a_panic_of_the_work_is_an_error_of_the_process() {
    let (process, _) = process();
    let ports = ports(&process, free().await, Router::new()).await;
    let work = async {
        // A condition that the compiler does not see through.
        assert!(tokio::runtime::Handle::try_current().is_err(), "on purpose");
        Ok::<(), Failed>(())
    };
    let ended = in_time("the end", process.run(ports, work)).await;
    assert!(matches!(ended, Err(Failed::Process(ProcessError::Panicked))), "{ended:?}");
}

#[tokio::test]
async fn a_port_that_cannot_be_bound_ends_the_process_before_the_work_begins() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (process, _) = process();
    let address = LoopbackAddr::new(taken.local_addr().unwrap()).unwrap();
    let ports = Ports { public: Vec::new(), admin: process.admin(address) };
    let work = std::future::pending::<Result<(), Failed>>();
    let ended = in_time("the end", process.run(ports, work)).await;
    let is_bind = matches!(ended, Err(Failed::Process(ProcessError::Serve(ServeError::Bind(..)))));
    assert!(is_bind, "{ended:?}");
}

#[tokio::test]
async fn a_drain_answers_the_request_in_flight_and_keeps_what_serves_it_until_then() {
    let (process, shutdown) = process();
    let (router, mut gate) = api();
    let address = free().await;
    let ports = ports(&process, address, router).await;
    let running = tokio::spawn({
        let process = Arc::clone(&process);
        async move {
            let served = process.served();
            let work = async {
                served.cancelled().await;
                Ok::<(), Failed>(())
            };
            process.run(ports, work).await
        }
    });
    let mut client = connect(address).await;
    client.send(&get_of("/held")).await;
    gate.reached(1).await;
    shutdown.drain().cancel();
    in_time("the port's end", async {
        while tokio::net::TcpStream::connect(address.get()).await.is_ok() {}
    })
    .await;
    assert!(!process.served().is_cancelled(), "a request is in flight");
    gate.let_go.add_permits(1);
    assert_eq!(client.answer().await.0, 200);
    in_time("the end", running).await.unwrap().unwrap();
    assert!(process.served().is_cancelled());
}

#[tokio::test]
async fn a_second_signal_ends_work_that_does_not_drain() {
    let shutdown = Shutdown::listen().unwrap();
    let process = Arc::new(Process::with(Metrics::detached().unwrap(), shutdown.clone()));
    let ports = ports(&process, free().await, Router::new()).await;
    let terminate = || {
        let pid = std::process::id().to_string();
        let killed = finish(Command::new("kill").arg(pid), KILL_LIMIT).unwrap();
        assert!(killed.status.success());
    };
    let running = tokio::spawn({
        let process = Arc::clone(&process);
        async move { process.run(ports, std::future::pending::<Result<(), Failed>>()).await }
    });
    terminate();
    in_time("the drain", shutdown.drain().cancelled()).await;
    in_time("the last request", process.served().cancelled()).await;
    assert!(!running.is_finished(), "the work may still drain");
    terminate();
    let ended = in_time("the end", running).await.unwrap();
    assert!(matches!(ended, Err(Failed::Process(ProcessError::StoppedEarly(_)))), "{ended:?}");
}

#[tokio::test]
async fn an_error_before_the_stop_is_the_one_that_is_reported() {
    let (process, shutdown) = process();
    let (router, mut gate) = api();
    let address = free().await;
    let ports = ports(&process, address, router).await;
    let (fail, failing) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let work = async {
            failing.await.unwrap();
            Err(Failed::Work)
        };
        process.run(ports, work).await
    });
    let mut client = connect(address).await;
    client.send(&get_of("/held")).await;
    gate.reached(1).await;
    fail.send(()).unwrap();
    in_time("the drain", shutdown.drain().cancelled()).await;
    shutdown.stop().cancel();
    let ended = in_time("the end", running).await.unwrap();
    assert!(matches!(ended, Err(Failed::Work)), "{ended:?}");
}

#[tokio::test]
async fn what_is_finished_last_has_the_rest_of_the_limit() {
    let (process, shutdown) = process();
    assert_eq!(in_time("the end", process.finish(async { 1 })).await, Ok(1));
    shutdown.stop().cancel();
    let ended = in_time("the end", process.finish(std::future::pending::<()>())).await;
    assert!(ended.is_err());
}
