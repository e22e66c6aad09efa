//! A separate database for every test, cloned from a template that is migrated once.

use std::future::Future;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The limit of each step of creating a test database. It includes waiting for other tests that do
/// the same.
const LIMIT: Duration = Duration::from_mins(2);
/// The variable with the address of the cluster that all tests share.
const URL: &str = "DAYBOOK_TEST_POSTGRES_URL";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A fresh test database. Dropping it closes its connections and deletes it.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    admin_url: String,
    url: String,
}

impl TestDatabase {
    /// Clones the template `template`. `migrate` gets the address of an empty database and fills
    /// it; it runs once per `fingerprint` (for example the hash of the migrations).
    ///
    /// # Panics
    /// If no server is configured (the message names the command to run), or a statement or the
    /// migration fails.
    #[allow(clippy::panic, reason = "a test's database: failing loudly is its error handling")]
    pub async fn create<F, Fut>(template: &str, fingerprint: &str, migrate: F) -> TestDatabase
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = Result<(), Failure>>,
    {
        let admin_url = std::env::var(URL)
            .unwrap_or_else(|_| panic!("{}", crate::ServerError::NotPrepared { variable: URL }));
        // Boxed because every test holds this future.
        match Box::pin(clone(&admin_url, template, fingerprint, migrate)).await {
            Ok(name) => {
                let url = replace_database(&admin_url, &name);
                TestDatabase { name, admin_url, url }
            }
            Err(error) => panic!("no test database from the template {template}: {error}"),
        }
    }

    /// The database's address for the superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database's address for another login role. (The test cluster trusts loopback.)
    pub fn url_as(&self, role: &str) -> String {
        let after = self
            .url
            .split_once('@')
            .map_or_else(|| self.url.trim_start_matches("postgres://"), |(_, after)| after);
        format!("postgres://{role}@{after}")
    }

    /// The database's address for a login role that belongs only to `group`, to test the group's
    /// privileges. The role is created if it does not exist.
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
        // A drop cannot await, and the test's runtime may have only this thread. So another thread
        // does the work.
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

/// One process creates the template; the others wait for the lock and then find it. The template
/// gets its final name only when it is complete.
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
        // Postgres cannot rename or clone a database that has connections, such as those of a pool
        // that is still closing.
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

/// Waits for one step; the error names the step that took too long.
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

/// Serialises by name across all test processes. The lock is held until the connection ends or
/// unlocks.
async fn lock(admin: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
        .bind(name)
        .execute(admin)
        .await?;
    Ok(())
}

/// Runs a statement about databases or roles. Their names cannot be parameters, but consist only of
/// letters, digits and underscores made here.
async fn run(admin: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await?;
    Ok(())
}

/// Reduces a name to characters that need no quoting.
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
