//! The end of a program in real time, whatever its work does. Each test runs a program of its own:
//! this test's executable again, with a test that only such a child process does.

use std::env;
use std::future::pending;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use local_servers::in_time;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service_kit::config::LoopbackAddr;
use service_kit::http::{Limits, Port, Ports};
use service_kit::process::{Process, ProcessError, as_task};
use service_kit::shutdown::{DRAIN_LIMIT, EXIT_LIMIT};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::Instant;

use crate::support::{Client, get_of};

/// What the child's work does, and its public and its admin port.
const WORK: &str = "TEST_WORK";
const PORTS: [&str; 2] = ["TEST_PUBLIC", "TEST_ADMIN"];
/// How much later than its limit a program may end on a machine that does other work.
const SLACK: Duration = Duration::from_secs(4);
/// The threads of the child's runtime.
const THREADS: usize = 2;

async fn never() {
    eprintln!("never asked");
    pending::<()>().await;
}

fn block() {
    loop {
        std::thread::park();
    }
}

async fn work(process: &Process, what: &str) -> Result<(), ProcessError> {
    match what {
        "never ends" => pending().await,
        "blocks all threads" => {
            for _ in 0..THREADS {
                tokio::spawn(async { block() });
            }
        }
        "blocks a call and ends" => {
            tokio::task::spawn_blocking(block);
            return Ok(());
        }
        "blocks a call" => drop(tokio::task::spawn_blocking(block)),
        "panics" => panic!("on purpose"),
        "ends" => return Ok(()),
        _ => {}
    }
    process.served().cancelled().await;
    Ok(())
}

/// Does something only as a child process of the other tests.
#[test]
fn child() {
    let Ok(what) = env::var(WORK) else { return };
    let addresses = PORTS.map(|name| env::var(name).unwrap().parse::<LoopbackAddr>().unwrap());
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(THREADS).enable_all().build().unwrap();
    let ended = runtime.block_on(as_task(async move {
        let process = Process::start("child", "info").unwrap();
        let [public, admin] = addresses;
        let router = Router::new().route("/never", get(never));
        let public = vec![Port::public(public, router, Limits::default())];
        process.run(Ports { public, admin: process.admin(admin) }, work(&process, &what)).await
    }));
    // As `#[tokio::main]` does before the program ends.
    drop(runtime);
    std::process::exit(if ended.is_ok() { 0 } else { 70 });
}

struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    public: String,
}

impl Program {
    fn start(what: &str) -> Self {
        let addresses = PORTS.map(|_| format!("127.0.0.1:{}", local_servers::free_port().unwrap()));
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "end::child", "--nocapture"])
            .env(WORK, what)
            .envs(PORTS.into_iter().zip(&addresses))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let [public, _] = addresses;
        Self { child, log, public }
    }

    async fn says(&mut self, words: &str) {
        in_time(words, async {
            while !self.log.next_line().await.unwrap().expect("its end").contains(words) {}
        })
        .await;
    }

    async fn listens(&self) -> Client {
        in_time("the port", async {
            loop {
                if let Ok(stream) = TcpStream::connect(&self.public).await {
                    return Client(stream);
                }
            }
        })
        .await
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), signal).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        in_time("the program's end", self.child.wait()).await.unwrap()
    }
}

async fn ends_within_the_limit(what: &str, code: i32) {
    let mut program = Program::start(what);
    program.listens().await;
    program.signal(Signal::SIGINT);
    program.says("draining").await;
    let began = Instant::now();
    let status = program.ended().await;
    let took = began.elapsed();
    assert_eq!(status.code(), Some(code), "{what}");
    assert!(took + SLACK > DRAIN_LIMIT && took < DRAIN_LIMIT + EXIT_LIMIT + SLACK, "{took:?}");
}

#[tokio::test]
async fn work_that_never_ends_is_stopped_at_the_limit() {
    ends_within_the_limit("never ends", 70).await;
}

#[tokio::test]
async fn work_that_blocks_all_threads_of_the_program_is_ended_at_the_limit() {
    ends_within_the_limit("blocks all threads", cli_kit::FAILED.into()).await;
}

#[tokio::test]
async fn a_call_that_blocks_its_thread_for_ever_does_not_hold_up_a_program_that_has_ended() {
    let mut program = Program::start("blocks a call");
    program.listens().await;
    program.signal(Signal::SIGTERM);
    program.says("draining").await;
    assert_eq!(program.ended().await.code(), Some(cli_kit::FAILED.into()));
}

#[tokio::test]
async fn the_limit_also_holds_for_a_drain_that_no_signal_began() {
    let mut program = Program::start("blocks a call and ends");
    assert_eq!(program.ended().await.code(), Some(cli_kit::FAILED.into()));
}

#[tokio::test]
async fn a_second_signal_ends_a_program_whose_threads_are_blocked() {
    let mut program = Program::start("blocks all threads");
    program.listens().await;
    program.signal(Signal::SIGTERM);
    program.says("draining").await;
    let began = Instant::now();
    program.signal(Signal::SIGTERM);
    assert_eq!(program.ended().await.code(), Some(cli_kit::FAILED.into()));
    assert!(began.elapsed() < EXIT_LIMIT + SLACK, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_and_the_program_ends() {
    let mut program = Program::start("serves");
    let mut client = program.listens().await;
    client.send(&get_of("/never")).await;
    program.says("never asked").await;
    program.signal(Signal::SIGTERM);
    program.says("draining").await;
    let began = Instant::now();
    client.closed().await;
    assert_eq!(program.ended().await.code(), Some(0));
    assert!(began.elapsed() < DRAIN_LIMIT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_program_whose_work_ends_or_panics_ends() {
    for (what, code) in [("ends", 0), ("panics", 70)] {
        assert_eq!(Program::start(what).ended().await.code(), Some(code), "{what}");
    }
}
