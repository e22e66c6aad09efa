//! Entity tags of lists: a digest of the visible content, or of what an export is made from.

use serde_json::value::RawValue;
use service_kit::PageInfo;
use service_kit::conditional::EntityTag;
use service_kit::http::ApiVersion;
use sha2::{Digest as _, Sha256};

use crate::page::ListId;
use crate::read::Seen;

/// The tag of a list, which stays the same while its rows as JSON, its page and `meta.stale` do.
///
/// It is weak, because `meta` also has the position and the time.
pub(super) fn of_list(
    rows: &RawValue,
    page: Option<&PageInfo>,
    stale: bool,
) -> Result<EntityTag, serde_json::Error> {
    let (page, stale) = (serde_json::to_vec(&page)?, serde_json::to_vec(&stale)?);
    let mut hasher = Sha256::new();
    // The three as a JSON array, without a copy of the rows.
    for part in [b"[", rows.get().as_bytes(), b",", &page, b",", &stale, b"]"] {
        hasher.update(part);
    }
    Ok(tag(hasher))
}

/// The tag of an export of a list. The rows are not there yet, so it changes whenever the position
/// does.
pub(super) fn of_export(
    list: ListId,
    seen: &Seen,
    format: &str,
    version: ApiVersion,
) -> Result<EntityTag, serde_json::Error> {
    let Seen { epoch, position, stale, generations, any_stale: _, lag: _ } = seen;
    let content = (list.text(), epoch, position, stale, generations, format, version.0);
    Ok(tag(Sha256::new_with_prefix(serde_json::to_vec(&content)?)))
}

fn tag(hasher: Sha256) -> EntityTag {
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize()[..16]);
    EntityTag::weak(uuid::Uuid::from_bytes(half).simple().to_string())
}
