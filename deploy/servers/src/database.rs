//! A database of its own for every test, cloned from a template that is migrated once.

use std::future::Future;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// How long each step may take that a test's database is made by: also behind every other test that
/// wants the same.
const LIMIT: Duration = Duration::from_mins(2);
/// The cluster that the tests share.
const URL: &str = "DAYBOOK_TEST_POSTGRES_URL";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A fresh database; dropped, connections and all, when this is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    admin_url: String,
    url: String,
}

impl TestDatabase {
    /// Clones the template of that name; `migrate` makes it, once for each fingerprint (the hash of
    /// the migrations, say), given its address.
    ///
    /// # Panics
    /// If there is no server (it says which command to run), or a statement or the migration fails.
    #[allow(clippy::panic, reason = "a test's database: failing loudly is its error handling")]
    pub async fn create<F, Fut>(template: &str, fingerprint: &str, migrate: F) -> TestDatabase
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = Result<(), Failure>>,
    {
        let admin_url = std::env::var(URL)
            .unwrap_or_else(|_| panic!("{}", crate::ServerError::NotPrepared { variable: URL }));
        // On the heap, since every test holds it.
        match Box::pin(clone(&admin_url, template, fingerprint, migrate)).await {
            Ok(name) => {
                let url = replace_database(&admin_url, &name);
                TestDatabase { name, admin_url, url }
            }
            Err(error) => panic!("no test database from the template {template}: {error}"),
        }
    }

    /// Its address, for the superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address for another login role (the test cluster trusts loopback).
    pub fn url_as(&self, role: &str) -> String {
        let after = self
            .url
            .split_once('@')
            .map_or_else(|| self.url.trim_start_matches("postgres://"), |(_, after)| after);
        format!("postgres://{role}@{after}")
    }

    /// Its address for a login role that is in this group and in no other, made if absent: what the
    /// group may and may not do.
    ///
    /// # Panics
    /// If the group does not exist or a statement fails.
    #[allow(clippy::panic, reason = "a test's database: failing loudly is its error handling")]
    pub async fn url_in_group(&self, group: &str) -> String {
        let role = format!("test_{}", identifier(group));
        let made = async {
            let mut admin = PgConnection::connect(&self.admin_url).await?;
            lock(&mut admin, &role).await?;
            let exists = sqlx::query_scalar::<_, bool>(
                "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)",
            );
            if !exists.bind(&role).fetch_one(&mut admin).await? {
                run(&mut admin, format!("CREATE ROLE {role} LOGIN IN ROLE {}", identifier(group)))
                    .await?;
            }
            admin.close().await
        };
        let made = within("a login role", made).await;
        made.unwrap_or_else(|error| panic!("no login role in {group}: {error}"));
        self.url_as(&role)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin_url, name) = (self.admin_url.clone(), self.name.clone());
        // A drop cannot await, and the test's own runtime may be the current thread's: another
        // thread does it.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?;
            runtime.block_on(async {
                let dropping = async {
                    let mut admin = PgConnection::connect(&admin_url).await?;
                    run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
                };
                within("its end", dropping).await.map_err(|error| error.to_string())
            })
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the test database {} was not dropped: {error}", self.name),
            Err(_) => {
                eprintln!("the test database {} was not dropped: its thread panicked", self.name);
            }
        }
    }
}

async fn clone<F, Fut>(
    admin_url: &str,
    template: &str,
    fingerprint: &str,
    migrate: F,
) -> Result<String, Failure>
where
    F: FnOnce(String) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    let mut admin =
        within("a connection to the tests' cluster", PgConnection::connect(admin_url)).await?;
    let template = format!("template_{}_{}", identifier(template), short_hash(fingerprint));
    let finished =
        sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(&template);
    if !within("the list of databases", finished.fetch_one(&mut admin)).await? {
        make_template(&mut admin, admin_url, &template, migrate).await?;
    }
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    within(
        "a copy of the template",
        run(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {template}")),
    )
    .await?;
    within("the connection's end", admin.close()).await?;
    Ok(name)
}

/// One process makes the template, the others wait for the lock and find it. It gets its name only
/// when it is whole.
async fn make_template<F, Fut>(
    admin: &mut PgConnection,
    admin_url: &str,
    template: &str,
    migrate: F,
) -> Result<(), Failure>
where
    F: FnOnce(String) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    within("the lock under which another process may make the template", lock(admin, template))
        .await?;
    let made =
        sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(template);
    if !made.fetch_one(&mut *admin).await? {
        let making = format!("{template}_making");
        let empty = async {
            run(admin, format!("DROP DATABASE IF EXISTS {making} WITH (FORCE)")).await?;
            run(admin, format!("CREATE DATABASE {making} TEMPLATE template0")).await
        };
        within("an empty database", empty).await?;
        within("the migration of the template", migrate(replace_database(admin_url, &making)))
            .await?;
        // Nobody may be connected to a database that is renamed or cloned: a pool that is still
        // closing would be.
        let named = async {
            run(admin, format!("ALTER DATABASE {making} ALLOW_CONNECTIONS false")).await?;
            end_connections(admin, &making).await?;
            run(admin, format!("ALTER DATABASE {making} RENAME TO {template}")).await
        };
        within("the template's name", named).await?;
    }
    sqlx::query("SELECT pg_advisory_unlock_all()").execute(admin).await?;
    Ok(())
}

/// Waits for one step, and says which one took too long.
async fn within<T, E: Into<Failure>>(
    what: &str,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(LIMIT, step).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => {
            Err(crate::ServerError::Late { what: what.to_owned(), seconds: LIMIT.as_secs() }.into())
        }
    }
}

async fn end_connections(admin: &mut PgConnection, database: &str) -> Result<(), sqlx::Error> {
    /// Milliseconds that the server waits for each connection's end.
    const LIMIT_MS: i64 = 10_000;
    let ending = sqlx::query(
        "SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE datname = $1",
    );
    ending.bind(database).bind(LIMIT_MS).execute(admin).await?;
    Ok(())
}

/// Serialises by name over all test processes; held until the connection ends or unlocks.
async fn lock(admin: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
        .bind(name)
        .execute(admin)
        .await?;
    Ok(())
}

/// Runs a statement about databases or roles, whose names cannot be parameters: they are made here,
/// of letters, digits and underscores.
async fn run(admin: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await?;
    Ok(())
}

/// Only what needs no quoting in a name.
fn identifier(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(40)
        .collect()
}

fn short_hash(text: &str) -> String {
    crate::fetch::sha256_hex(text.as_bytes()).chars().take(12).collect()
}

fn replace_database(url: &str, database: &str) -> String {
    let (base, query) =
        url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
    query.map_or_else(
        || format!("{server}/{database}"),
        |query| format!("{server}/{database}?{query}"),
    )
}
