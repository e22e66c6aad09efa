//! Entity tags of lists: a digest of the visible content.

use serde_json::value::RawValue;
use service_kit::PageInfo;
use service_kit::conditional::EntityTag;
use sha2::{Digest as _, Sha256};

/// The tag of a list, which stays the same while its rows as JSON, its page and `meta.stale` do.
///
/// It is weak, because `meta` also has the position and the time.
pub(super) fn of_list(
    rows: &RawValue,
    page: Option<&PageInfo>,
    stale: bool,
) -> Result<EntityTag, serde_json::Error> {
    let mut hasher = Sha256::new();
    hasher.update(rows.get());
    hasher.update(serde_json::to_vec(&(page, stale))?);
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize()[..16]);
    Ok(EntityTag::weak(uuid::Uuid::from_bytes(half).simple().to_string()))
}
