//! Entity tags of lists: a digest of the visible content, or of what an export is made from.
//!
//! The digest is XXH3 with a seed that all processes derive from the key of the cursors. A
//! cryptographic one would cost more than writing the JSON. Somebody who writes rows but does not
//! know the seed cannot make two contents with one tag.

use service_kit::PageInfo;
use service_kit::conditional::EntityTag;
use service_kit::http::ApiVersion;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::page::ListId;
use crate::read::Seen;

/// The tag of a list, which stays the same while its rows as JSON, its page and `meta.stale` do.
///
/// It is weak, because `meta` also has the position and the time.
pub(super) fn of_list(
    seed: u64,
    rows: &[u8],
    page: Option<&PageInfo>,
    stale: bool,
) -> Result<EntityTag, serde_json::Error> {
    // The digest of the rows stands for them, so that they are not copied.
    let mut content = xxh3_128_with_seed(rows, seed).to_be_bytes().to_vec();
    serde_json::to_writer(&mut content, &(page, stale))?;
    Ok(tag(seed, &content))
}

/// The tag of an export of a list. The rows are not there yet, so it changes whenever the position
/// does.
pub(super) fn of_export(
    seed: u64,
    list: ListId,
    seen: &Seen,
    (format, version): (&str, ApiVersion),
) -> Result<EntityTag, serde_json::Error> {
    let Seen { epoch, position, stale, generations, any_stale: _, lag: _ } = seen;
    let content = (list.text(), epoch, position, stale, generations, format, version.0);
    Ok(tag(seed, &serde_json::to_vec(&content)?))
}

fn tag(seed: u64, content: &[u8]) -> EntityTag {
    EntityTag::weak(format!("{:032x}", xxh3_128_with_seed(content, seed)))
}
