//! The server under a bench: a database of its own on it, and the settings that its figures depend
//! on.

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

/// A database made for the bench and dropped after it.
pub struct BenchDatabase {
    admin: PgConnectOptions,
    name: String,
    url: String,
}

impl BenchDatabase {
    /// Makes a database on the server; the URL's role must be allowed to.
    ///
    /// # Errors
    /// When the server is away or refuses.
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

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A plain connection to it.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(self.admin.clone().database(&self.name).connect().await?)
    }

    /// Writes out what earlier rounds left to write, so that each round begins as every other,
    /// whatever ran before it.
    ///
    /// # Errors
    /// When the server is away, or the role may not do that (`pg_checkpoint`).
    pub async fn settle(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql("CHECKPOINT")
            .execute(&mut connection)
            .await
            .context("no checkpoint before a round")?;
        Ok(connection.close().await?)
    }

    /// Drops it.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn drop(self) -> anyhow::Result<()> {
        let mut connection = self.admin.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name)))
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    }

    /// The version and the settings that figures of writes depend on, a line each.
    ///
    /// # Errors
    /// When the server is away.
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
