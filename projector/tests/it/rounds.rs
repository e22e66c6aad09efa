//! kill -9 of projectors at every stage of their work, each while positions move, and trouble with
//! NATS in between: after each round a verification of every projection finds no difference.

use std::time::Duration;

use local_servers::{in_time, test_run};
use rand::Rng;
use rand::rngs::StdRng;
use rand::{SeedableRng, seq::IndexedRandom};
use tokio::process::Child;
use uuid::Uuid;

use crate::parked::{comes_after_all, of_a_stranger};
use crate::rebuild::succeeds;
use crate::support::feed::Feed;
use crate::support::feed::{Trouble, Writer};
use crate::support::life::Life;
use crate::support::process::{Process, command};
use crate::support::{append, ask, ask_about, projections, split_projections, until, until_all_at};

/// After so many rounds the next log begins, so that verifying stays short.
const ROUNDS_PER_LOG: u64 = 10;
/// How many events are missed before catching up: several batches.
const MISSED: usize = 3_000;
/// How many events of a row are held back before they are drained: several transactions.
const HELD_BACK: usize = 2_500;
/// A kill that came too late, when nothing moved any more, is made again so often.
const ATTEMPTS: usize = 8;

/// The furthest-back partition of the live generations.
const LIVE: &str = "SELECT min(position) FROM read_model.checkpoints JOIN read_model.generations \
    USING (projection, generation) WHERE live";
/// How many of them get their events otherwise than from NATS.
const NOT_LIVE: &str = "SELECT count(*) FROM read_model.checkpoints JOIN read_model.generations \
    USING (projection, generation)
    WHERE live AND mode <> 'live'";
const HEAD: &str = "SELECT max(position) FROM event_store.events";
const PARKED: &str = "SELECT count(*) FROM read_model.parked WHERE projection = 'users'";
/// The projections that parked the event at this position.
const REFUSING: &str = "SELECT array_agg(DISTINCT projection) FROM read_model.parked \
    WHERE position = $1::text::bigint";
/// The rebuilt generation of a projection: how far it is; -1 when there is none.
const BUILT: &str = "SELECT COALESCE(max(c.position), -1) FROM read_model.checkpoints AS c JOIN \
    read_model.generations AS g USING (projection, generation)
    WHERE NOT g.live AND projection = $1";
const LIVE_GENERATION: &str =
    "SELECT generation::bigint FROM read_model.generations WHERE live AND projection = $1";
const UNFINISHED: &str =
    "SELECT count(*) FROM read_model.rebuilds WHERE phase <> 'switched' AND projection = $1";

/// What the projector is at when it is killed.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Live,
    CatchingUp,
    Rebuilding,
    Switching,
    Draining,
}

const STAGES: [Stage; 5] =
    [Stage::Live, Stage::CatchingUp, Stage::Rebuilding, Stage::Switching, Stage::Draining];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_p7_killed_with_9_at_every_stage_with_nats_in_trouble_between_no_row_ever_differs() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    let rounds = run.count(5, 500);
    let mut begun = None;
    for round in 0..rounds {
        let mut log = match begun.take().filter(|_| round % ROUNDS_PER_LOG != 0) {
            Some(log) => log,
            None => Log::begin(run.seed.wrapping_add(round), &mut random).await,
        };
        let stage = STAGES[usize::try_from(round).unwrap() % STAGES.len()];
        let trouble = *Trouble::ALL.choose(&mut random).unwrap();
        eprintln!(
            "seed {}, round {round}: {trouble:?} of NATS, then killed while {stage:?}",
            run.seed
        );
        log.feed.meets(trouble).await;
        log.strike(stage, &mut random).await;
        log.nothing_differs().await;
        begun = Some(log);
    }
}

/// A log with its feed, and the read model next to it.
struct Log {
    feed: Feed,
    life: Option<Life>,
}

impl Log {
    /// With its projections split into some number of partitions, where they may be.
    async fn begin(seed: u64, random: &mut StdRng) -> Self {
        let feed = Feed::start().await;
        for name in split_projections() {
            succeeds(
                feed.url(),
                &["start-over", name, "--yes", "--partitions", &partitions(random)],
            )
            .await;
        }
        let mut life = Life::new(seed);
        append(feed.store.as_ref(), life.goes_on(50)).await;
        Self { feed, life: Some(life) }
    }

    fn url(&self) -> &str {
        self.feed.url()
    }

    async fn head(&self) -> i64 {
        ask::<i64>(self.url(), HEAD).await
    }

    fn projector(&self) -> Process {
        Process::start_with(
            self.url(),
            &[("NATS_URL", &self.feed.nats_url()), ("VERIFY_EVERY", "0")],
        )
    }

    /// A projector that has every event.
    async fn at_head(&self) -> Process {
        let process = self.projector();
        let head = self.head().await;
        until("every projection at the head", || async {
            ask::<i64>(self.url(), LIVE).await >= head
        })
        .await;
        process
    }

    fn writing(&mut self) -> Writer {
        Writer::start(self.feed.store.clone(), self.life.take().expect("one writer at a time"))
    }

    async fn strike(&mut self, stage: Stage, random: &mut StdRng) {
        match stage {
            Stage::Live => self.live(random).await,
            Stage::CatchingUp => self.catching_up(random).await,
            Stage::Rebuilding => self.rebuilding(random).await,
            Stage::Switching => self.switching(random).await,
            Stage::Draining => self.draining(random).await,
        }
    }

    async fn live(&mut self, random: &mut StdRng) {
        let mut process = self.at_head().await;
        until("events to come from NATS", || async { ask::<i64>(self.url(), NOT_LIVE).await == 0 })
            .await;
        let writer = self.writing();
        self.moves(random.random_range(5..60)).await;
        process.kill_9().await;
        self.life = Some(writer.stop().await);
    }

    async fn catching_up(&mut self, random: &mut StdRng) {
        for _ in 0..ATTEMPTS {
            let mut life = self.life.take().expect("nobody writes");
            let before = self.head().await;
            append(self.feed.store.as_ref(), life.goes_on(MISSED)).await;
            self.life = Some(life);
            let mut process = self.projector();
            let far = before + random.random_range(1..1_500);
            at_once(async || ask::<i64>(self.url(), LIVE).await >= far).await;
            process.kill_9().await;
            if ask::<i64>(self.url(), LIVE).await < self.head().await {
                return;
            }
        }
        panic!("it always had caught up before it was killed");
    }

    async fn rebuilding(&mut self, random: &mut StdRng) {
        let (name, url) = (*projections().choose(random).unwrap(), self.url().to_owned());
        let mut process = self.at_head().await;
        let writer = self.writing();
        // With no memory each page is written, and so the checkpoint moves.
        let throttle = (self.head().await / 2).clamp(50, 2_000).to_string();
        let partitions =
            if split_projections().contains(&name) { partitions(random) } else { "1".to_owned() };
        let mut rebuild = spawn(
            &url,
            &[
                "rebuild",
                name,
                "--partitions",
                &partitions,
                "--memory",
                "0",
                "--throttle",
                &throttle,
            ],
        );
        let so_far = ask_about::<i64>(&url, BUILT, name).await;
        at_once(async || {
            ask_about::<i64>(&url, BUILT, name).await > so_far.max(random_share(&throttle))
        })
        .await;
        rebuild.kill().await.unwrap();
        if random.random() {
            self.moves(1).await;
            process.kill_9().await;
            process = self.projector();
        }
        self.finish(name).await;
        self.life = Some(writer.stop().await);
        process.kill_9().await;
    }

    async fn switching(&mut self, random: &mut StdRng) {
        let (name, url) = (*projections().choose(random).unwrap(), self.url().to_owned());
        let mut process = self.at_head().await;
        let writer = self.writing();
        succeeds(&url, &["rebuild", name, "--no-switch"]).await;
        self.moves(1).await;
        let mut switch = spawn(&url, &["rebuild", name, "--resume"]);
        // The moment of the kill is what is varied here; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(20..400))).await;
        let (kill_switch, kill_projector) =
            [(true, true), (true, false), (false, true)][random.random_range(0..3)];
        if kill_projector {
            process.kill_9().await;
            process = self.projector();
        }
        if kill_switch {
            switch.kill().await.unwrap();
        } else {
            assert!(in_time("the switch", switch.wait()).await.unwrap().success());
        }
        self.finish(name).await;
        self.life = Some(writer.stop().await);
        process.kill_9().await;
    }

    async fn draining(&mut self, random: &mut StdRng) {
        for _ in 0..ATTEMPTS {
            let user = Uuid::from_u128(random.random());
            append(self.feed.store.as_ref(), vec![of_a_stranger(user)]).await;
            let poison = self.head().await.to_string();
            comes_after_all(self.feed.store.as_ref(), user, HELD_BACK).await;
            let mut process = self.at_head().await;
            let held = ask::<i64>(self.url(), PARKED).await;
            let writer = self.writing();
            let mut refusing: Vec<String> = ask_about(self.url(), REFUSING, &poison).await;
            // The users are looked at.
            refusing.sort_by_key(|name| name == "users");
            for name in refusing {
                let skip = ["parked", "skip", &name, &poison, "--by", "Ada", "--reason", "no row"];
                succeeds(self.url(), &skip).await;
            }
            at_once(async || ask::<i64>(self.url(), PARKED).await < held).await;
            process.kill_9().await;
            self.life = Some(writer.stop().await);
            if ask::<i64>(self.url(), PARKED).await > 0 {
                return;
            }
        }
        panic!("all was drained before it was killed");
    }

    /// Waits until every live projection has moved by so many events while the log goes on.
    async fn moves(&self, events: i64) {
        let before = self.head().await;
        at_once(async || ask::<i64>(self.url(), LIVE).await >= before + events).await;
    }

    /// Ends a rebuild, whatever became of it, and drops the generation that queries do not see any
    /// more.
    async fn finish(&self, name: &str) {
        let url = self.url();
        if ask_about::<i64>(url, UNFINISHED, name).await > 0 {
            succeeds(url, &["rebuild", name, "--resume"]).await;
        }
        assert_eq!(ask_about::<i64>(url, UNFINISHED, name).await, 0);
        let live = ask_about::<i64>(url, LIVE_GENERATION, name).await;
        if ask_about::<i64>(url, BUILT, name).await >= 0 {
            succeeds(url, &["drop", name, &(live - 1).to_string(), "--yes"]).await;
        }
    }

    /// A fresh projector takes over and catches up; then every projection is verified and accounted
    /// for.
    async fn nothing_differs(&self) {
        let url = self.url();
        let mut process = self.projector();
        until_all_at(url, self.head().await).await;
        until("everything to be drained", || async {
            ask::<i64>(url, "SELECT count(*) FROM read_model.stale").await == 0
        })
        .await;
        let said = futures::future::join_all(
            projections().into_iter().map(|name| succeeds_with(url, name)),
        )
        .await;
        assert!(
            said.iter().all(|said| said.contains("no difference") && !said.contains("stale")),
            "{said:?}"
        );
        let wrong =
            "SELECT count(*) FROM read_model.checkpoints WHERE handled + ignored <> position";
        assert_eq!(ask::<i64>(url, wrong).await, 0, "an event was lost");
        process.kill_9().await;
    }
}

async fn succeeds_with(url: &str, name: &str) -> String {
    succeeds(url, &["verify", name]).await
}

fn spawn(url: &str, arguments: &[&str]) -> Child {
    command(url).args(arguments).stdout(std::process::Stdio::null()).spawn().unwrap()
}

/// Into how many partitions a projection is split.
fn partitions(random: &mut StdRng) -> String {
    random.random_range(1..=4).to_string()
}

/// A position in the first partition of a rebuild.
fn random_share(throttle: &str) -> i64 {
    rand::random_range(0..throttle.parse::<i64>().unwrap().max(2) / 2)
}

/// Waits for a moment that passes soon: looks as often as it can.
async fn at_once<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let looking = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(45), looking).await.expect("the moment to come");
}
