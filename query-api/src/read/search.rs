//! The question for what is found by words: users, orders and products.

use postgres_kit::{TableRow as _, arguments};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Asked, Read, Shown, seen};

/// The maximum number of rows that are compared with each other. If more fit, the best of these are
/// shown, so that a word that fits everything costs no more than another.
const MAX_CANDIDATES: i64 = 1_000;

postgres_kit::row! {
    /// A row of `read_model.search`.
    #[derive(Debug, Clone)]
    pub struct HitRow {
        /// What it is: `user`, `order` or `product`.
        pub kind: String,
        /// Its id.
        pub id: Uuid,
        /// The name of a user or a product. `None` for an order, and after an erasure.
        pub name: Option<String>,
        /// The e-mail address of a user, or `None` after it was erased.
        pub email: Option<String>,
        /// All that it is found by.
        pub words: Option<String>,
    }
}

/// The rows with the id `$2`, with all words of `$1`, or with words similar to it, best first: of
/// the kinds `$3`, and of the kinds `$4` only those of the user `$5`.
const FIND: &str = postgres_kit::sql!(
    "SELECT ",
    HitRow::COLUMNS,
    " FROM (SELECT ",
    HitRow::COLUMNS,
    ",
        CASE WHEN id = $2 THEN 2 ELSE greatest(
            ts_rank(to_tsvector('simple', read_model.search_text(words)),
                plainto_tsquery('simple', read_model.search_text($1))),
            read_model.word_similarity(read_model.search_text($1),
                read_model.search_text(words))) END AS rank
    FROM read_model.search
    WHERE (id = $2
            OR to_tsvector('simple', read_model.search_text(words))
                @@ plainto_tsquery('simple', read_model.search_text($1))
            OR read_model.search_text(words)
                OPERATOR(read_model.%>) read_model.search_text($1))
        AND kind = ANY ($3) AND (kind <> ALL ($4) OR owner_id = $5)
    LIMIT $6) AS candidates
    ORDER BY rank DESC, kind, id LIMIT $7"
);

/// The question for what fits some words.
#[derive(Debug, Clone)]
pub struct Search {
    /// The words, as people write them. Punctuation means nothing.
    pub words: String,
    /// The kinds that are searched.
    pub kinds: Vec<&'static str>,
    /// Those of them of which only the owner's are found.
    pub own: Vec<&'static str>,
    /// The owner.
    pub owner: Option<Uuid>,
    /// The maximum number of hits.
    pub limit: u32,
}

impl Read for Search {
    type Answer = Vec<HitRow>;
    reads!("search");
    const IN_ONE_STATEMENT: bool = false;

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("search", answer.iter().map(|row| format!("{}/{}", row.kind, row.id)))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { words, kinds, own, owner, limit } = self;
        let checkpoints = seen::checkpoints(snapshot).await?;
        // Postgres would note in its log and ours that there is nothing to look for.
        if !words.contains(char::is_alphanumeric) {
            return Ok(Asked { data: Vec::new(), checkpoints });
        }
        let id = words.trim().parse::<Uuid>().ok();
        let limit = i64::from(*limit);
        let arguments = arguments![words, id, kinds, own, owner, MAX_CANDIDATES, limit]?;
        let rows = sqlx::query_with(FIND, arguments).fetch_all(snapshot).await?;
        let data = rows.iter().map(|row| HitRow::read(row, 0)).collect::<Result<Vec<_>, _>>()?;
        Ok(Asked { data, checkpoints })
    }
}
