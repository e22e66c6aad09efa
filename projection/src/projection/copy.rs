//! Writes rows by COPY in Postgres's binary format. Values are encoded as for statement parameters.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgConnection};
use sqlx::{Error, Postgres};

use super::ProjectionRow;

/// The start of a binary stream: signature, flags, and length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of a binary stream.
const TRAILER: i16 = -1;
/// The number of bytes to collect before sending.
const CHUNK_BYTES: usize = 256 * 1_024;

/// The values of one row, in the column order of its `COPY`.
#[derive(Default)]
pub struct CopyRow {
    buffer: PgArgumentBuffer,
    columns: i16,
    failure: Option<BoxDynError>,
}

impl CopyRow {
    /// Appends the next column's value.
    pub fn column<'q, T: Encode<'q, Postgres>>(&mut self, value: &T) -> &mut Self {
        let length_at = self.buffer.len();
        self.buffer.extend_from_slice(&(-1_i32).to_be_bytes());
        match value.encode_by_ref(&mut self.buffer) {
            Ok(IsNull::Yes) => self.buffer.truncate(length_at + 4),
            Ok(IsNull::No) => match i32::try_from(self.buffer.len() - length_at - 4) {
                Ok(length) => {
                    self.buffer[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
                }
                Err(error) => self.failure = Some(error.into()),
            },
            Err(error) => self.failure = Some(error),
        }
        self.columns += 1;
        self
    }

    fn row<T>(&mut self, row: &T, write: impl Fn(&T, &mut Self)) -> sqlx::Result<()> {
        let count_at = self.buffer.len();
        self.buffer.extend_from_slice(&0_i16.to_be_bytes());
        self.columns = 0;
        write(row, self);
        self.buffer[count_at..count_at + 2].copy_from_slice(&self.columns.to_be_bytes());
        self.failure.take().map_or(Ok(()), |failure| Err(Error::Encode(failure)))
    }

    /// The number of bytes of a row in this format.
    pub(crate) fn length_of(row: &impl ProjectionRow) -> usize {
        let mut copy = Self::default();
        row.copy(&mut copy);
        copy.buffer.len()
    }
}

/// Sends rows with their [`ProjectionRow::COPY`]. Returns the number of rows.
///
/// # Errors
/// Postgres's error.
pub(crate) async fn copy_in<'r, R: ProjectionRow>(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &'r R> + Send,
) -> sqlx::Result<u64> {
    copy_with(connection, R::COPY, rows, R::copy).await
}

/// Sends rows with this COPY statement, as `write` writes each. Returns the number of rows.
///
/// # Errors
/// Postgres's error.
pub(super) async fn copy_with<'r, T: Sync + 'r>(
    connection: &mut PgConnection,
    statement: &'static str,
    rows: impl Iterator<Item = &'r T> + Send,
    write: impl Fn(&T, &mut CopyRow) + Send + Copy,
) -> sqlx::Result<u64> {
    let mut sink = connection.copy_in_raw(statement).await?;
    let mut copy = CopyRow::default();
    copy.buffer.extend_from_slice(HEADER);
    for row in rows {
        if let Err(failure) = copy.row(row, write) {
            sink.abort("a row cannot be encoded").await?;
            return Err(failure);
        }
        if copy.buffer.len() >= CHUNK_BYTES {
            sink.send(&copy.buffer[..]).await?;
            copy = CopyRow::default();
        }
    }
    copy.buffer.extend_from_slice(&TRAILER.to_be_bytes());
    sink.send(&copy.buffer[..]).await?;
    sink.finish().await
}
