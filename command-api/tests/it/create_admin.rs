//! `create-admin` from outside: whom it appoints, whom it refuses, and with which keys it writes.

use std::process::Stdio;

use command_api::auth::database;
use event_store::postgres::{self, keys};
use event_store::{EventStore as _, PostgresOptions, PostgresStore};
use local_servers::{PATIENCE, TestDatabase, end_of, finish};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::process::{Process, command};

pub(crate) const EMAIL: &str = "boss@example.com";
/// Another master key than the one of the other processes.
const FOREIGN: &str = "Zm9yZWlnbi1mb3JlaWduLWZvcmVpZ24tZm9yZWlnbi0=";

/// All three stores in one database.
pub(crate) struct Stores(TestDatabase);

/// How the command line ended: its exit code and everything that it said.
pub(crate) type Ended = (Option<i32>, String);

impl Stores {
    pub(crate) async fn new() -> Self {
        let fingerprint = [
            postgres::schema_fingerprint(),
            keys::schema_fingerprint(),
            database::schema_fingerprint(),
        ]
        .join(" ");
        let made =
            TestDatabase::create("command_api_create_admin", &fingerprint, |url| async move {
                postgres::migrate(&url).await?;
                keys::migrate(&url).await?;
                Ok(database::migrate(&url.into()).await?)
            });
        Self(made.await)
    }

    pub(crate) fn url(&self) -> &str {
        self.0.url()
    }

    pub(crate) fn create(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
        let arguments = [&["create-admin", "--email", EMAIL], arguments].concat();
        self.run(&arguments, settings)
    }

    /// Runs the program with these arguments on the stores.
    pub(crate) fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
        let mut command = command();
        command.args(arguments);
        for name in ["EVENT_STORE_URL", "SUBJECT_KEYS_URL", "AUTH_URL"] {
            command.env(name, self.0.url());
        }
        let output = finish(command.envs(settings.iter().copied()), PATIENCE).unwrap();
        let [out, error] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out + &error)
    }

    /// Registers the address through a running process, as somebody who may do so.
    async fn register(&self) -> Uuid {
        let process = Process::start(&[("EVENT_STORE_URL", self.0.url())]);
        process.readiness(200).await;
        assert_eq!(process.register(EMAIL).await, 201);
        assert_eq!(process.stop().0, Some(0));
        self.subject().await
    }

    pub(crate) async fn sql(&self, statements: &'static str) {
        let mut connection = PgConnection::connect(self.0.url()).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        let mut connection = PgConnection::connect(self.0.url()).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
    }

    /// The only user.
    pub(crate) async fn subject(&self) -> Uuid {
        let mut connection = PgConnection::connect(self.0.url()).await.unwrap();
        let subjects = sqlx::query_scalar("SELECT subject FROM subject_keys.keys");
        subjects.fetch_one(&mut connection).await.unwrap()
    }

    async fn administrators(&self) -> i64 {
        self.count("SELECT count(*) FROM auth.memberships WHERE role = 'admin'").await
    }

    /// Gives the only user an account with a session and an API key.
    async fn sign_in(&self) {
        self.sql(
            "INSERT INTO auth.accounts SELECT subject, 'hash', now(), now() FROM subject_keys.keys;
             INSERT INTO auth.sessions
                     (session_id, user_id, client, created_at, used_at, token_hash)
                 SELECT gen_random_uuid(), user_id, 'web', now(), now(), sha256('t')
                 FROM auth.accounts;
             INSERT INTO auth.api_keys (key_id, user_id, name, key_hash, scopes, created_at)
                 SELECT gen_random_uuid(), user_id, 'key', sha256('k'), 'orders:read.own', now()
                 FROM auth.accounts;",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_administrator_is_made_once_and_a_repeat_completes_what_was_interrupted() {
    let stores = Stores::new().await;
    let (code, said) = stores.create(&[], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("registered user"), "{said}");
    for _ in 0..2 {
        let (code, said) = stores.create(&[], &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("unchanged: the user is an administrator already"), "{said}");
    }
    // As if the first run had ended between the two stores.
    stores.sql("DELETE FROM auth.accounts").await;
    let (code, said) = stores.create(&[], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stores.administrators().await, 1);
    assert_eq!(stores.count("SELECT count(*) FROM subject_keys.keys").await, 1, "one user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_holds_the_address_is_appointed_only_on_demand_and_loses_what_they_have() {
    let stores = Stores::new().await;
    let user = stores.register().await;
    let refused = |(code, said): Ended| {
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&user.to_string()) && said.contains("--existing"), "{said}");
    };
    refused(stores.create(&[], &[]));
    assert_eq!(stores.count("SELECT count(*) FROM auth.accounts").await, 0);
    stores.sign_in().await;
    refused(stores.create(&[], &[]));
    assert_eq!(stores.administrators().await, 0);
    let ended = "SELECT (SELECT count(*) FROM auth.sessions WHERE ended_at IS NOT NULL)
            + (SELECT count(*) FROM auth.api_keys WHERE revoked_at IS NOT NULL)
            + (SELECT count(*) FROM auth.revocations)";
    assert_eq!(stores.count(ended).await, 0, "nothing was done");

    let (code, said) = stores.create(&["--existing"], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all sessions of the user ended"), "{said}");
    assert_eq!(stores.administrators().await, 1);
    assert_eq!(stores.count(ended).await, 5, "a session, a key, and the tokens of both and all");
    let (code, said) = stores.create(&["--existing"], &[]);
    assert_eq!((code, said.contains("administrator already")), (Some(0), true), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_under_a_master_key_of_another_deployment() {
    let stores = Stores::new().await;
    assert_eq!(stores.create(&[], &[]).0, Some(0));
    stores.sql("DELETE FROM auth.accounts").await;
    let options = PostgresOptions::from_url(stores.0.url()).unwrap();
    let store = PostgresStore::connect(options).await.unwrap();
    let before = store.head().await.unwrap().mark;

    let other = [("MASTER_KEY", FOREIGN)];
    let (code, said) = stores.create(&[], &other);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the master keys open none"), "{said}");
    assert_eq!(stores.administrators().await, 0);

    let mut serve = command();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).envs(other);
    serve.env("EVENT_STORE_URL", stores.0.url()).env("SUBJECT_KEYS_URL", stores.0.url());
    let mut serve = serve.stderr(Stdio::piped()).spawn().unwrap();
    let ended = end_of(&mut serve, "command-api", PATIENCE).unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{error}");
    assert!(error.contains("the master keys open none"), "{error}");
    assert_eq!(store.head().await.unwrap().mark, before);

    let both = format!("{FOREIGN}\n{}", crate::process::MASTER_KEY);
    let (code, said) = stores.create(&[], &[("MASTER_KEY", &both)]);
    assert_eq!(code, Some(0), "a new key in front of the old one is a rotation: {said}");
}
