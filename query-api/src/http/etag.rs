//! Entity tags of lists: a digest of the visible content, or of what an export is made from.

use serde::Serialize;
use service_kit::PageInfo;
use service_kit::conditional::EntityTag;
use service_kit::http::ApiVersion;
use sha2::{Digest as _, Sha256};

use crate::page::ListId;
use crate::read::Seen;

/// The tag of a list, which stays the same while its rows, its page and `meta.stale` do.
///
/// It is weak, because `meta` also has the position and the time.
pub(super) fn of_list(
    rows: &impl Serialize,
    page: Option<&PageInfo>,
    stale: bool,
) -> Result<EntityTag, serde_json::Error> {
    tag(&(rows, page, stale))
}

/// The tag of an export of a list. The rows are not there yet, so it changes whenever the position
/// does.
pub(super) fn of_export(
    list: ListId,
    seen: &Seen,
    format: &str,
    version: ApiVersion,
) -> Result<EntityTag, serde_json::Error> {
    let Seen { epoch, position, stale, generations, any_stale: _ } = seen;
    tag(&(list.text(), epoch, position, stale, generations, format, version.0))
}

fn tag(content: &impl Serialize) -> Result<EntityTag, serde_json::Error> {
    let digest = Sha256::digest(serde_json::to_vec(content)?);
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Ok(EntityTag::weak(uuid::Uuid::from_bytes(half).simple().to_string()))
}
