//! A benchmark's separate database, and the server settings that affect the results.

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

/// A database created for a benchmark, and dropped afterwards.
pub struct BenchDatabase {
    admin: PgConnectOptions,
    name: String,
    url: String,
}

impl BenchDatabase {
    /// Creates a database on the server. The URL's role must be allowed to.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub async fn create(server: &str) -> anyhow::Result<Self> {
        let admin: PgConnectOptions = server.parse().context("the server's URL cannot be read")?;
        let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
        let mut connection = admin.connect().await.context("the server under the bench is away")?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0")))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        let options = admin.clone().database(&name);
        Ok(Self { admin, url: options.to_url_lossy().to_string(), name })
    }

    /// The database's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens a plain connection to the database.
    ///
    /// # Errors
    /// The server is away.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(self.admin.clone().database(&self.name).connect().await?)
    }

    /// Writes out pending data of earlier rounds, so that all rounds start alike.
    ///
    /// # Errors
    /// The server is away, or the role lacks `pg_checkpoint`.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql("CHECKPOINT")
            .execute(&mut connection)
            .await
            .context("no checkpoint before a round")?;
        Ok(connection.close().await?)
    }

    /// Drops the database.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub async fn drop(self) -> anyhow::Result<()> {
        let mut connection = self.admin.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name)))
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    }

    /// The version and the settings that affect write results, one per line.
    ///
    /// # Errors
    /// The server is away.
    pub async fn settings(&self) -> anyhow::Result<String> {
        const NAMES: [&str; 8] = [
            "server_version",
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "wal_sync_method",
            "data_checksums",
            "shared_buffers",
            "max_wal_size",
        ];
        let mut connection = self.connect().await?;
        let mut lines = Vec::new();
        for name in NAMES {
            let value: String = sqlx::query_scalar("SELECT current_setting($1)")
                .bind(name)
                .fetch_one(&mut connection)
                .await?;
            lines.push(format!("{name} = {value}"));
        }
        Ok(lines.join("\n"))
    }
}
