//! Joins SQL text from constants at compile time. A column list is written once, and no runtime
//! value can get into a statement's text.

/// Joins constants of type `&str` into one `&'static str`.
///
/// ```
/// const COLUMNS: &str = "id, name";
/// const FIND: &str = postgres_kit::sql!("SELECT ", COLUMNS, " FROM things WHERE id = $1");
/// assert_eq!(FIND, "SELECT id, name FROM things WHERE id = $1");
/// ```
#[macro_export]
macro_rules! sql {
    ($($part:expr),+ $(,)?) => {{
        const PARTS: &[&str] = &[$($part),+];
        const BYTES: [u8; $crate::macros::length(PARTS)] = $crate::macros::join(PARTS);
        const JOINED: &str = $crate::macros::text(&BYTES);
        JOINED
    }};
}

/// The total length of these texts, in bytes.
pub const fn length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len();
        part += 1;
    }
    length
}

/// Concatenates the bytes of these texts.
pub const fn join<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let (mut joined, mut end, mut part) = ([0; LENGTH], 0, 0);
    while part < parts.len() {
        let (bytes, mut byte) = (parts[part].as_bytes(), 0);
        while byte < bytes.len() {
            joined[end] = bytes[byte];
            (end, byte) = (end + 1, byte + 1);
        }
        part += 1;
    }
    joined
}

/// Turns the bytes from [`join`] back into text.
#[allow(clippy::panic, reason = "it runs at compile time, and joined UTF-8 is UTF-8")]
pub const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("joined UTF-8 is UTF-8"),
    }
}

/// The highest number that [`placeholders`] supports.
const MAX_PLACEHOLDERS: usize = 64;
const PLACEHOLDERS: &str = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
    $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, \
    $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, \
    $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64";

/// The placeholders `$1, $2, …` up to `count`, which is at most 64.
#[allow(clippy::panic, reason = "it runs at compile time")]
pub const fn placeholders(count: usize) -> &'static str {
    assert!(count >= 1 && count <= MAX_PLACEHOLDERS, "a statement has 1 to 64 parameters here");
    let (bytes, mut end, mut commas) = (PLACEHOLDERS.as_bytes(), 0, 0);
    while end < bytes.len() {
        if bytes[end] == b',' {
            commas += 1;
            if commas == count {
                break;
            }
        }
        end += 1;
    }
    PLACEHOLDERS.split_at(end).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_from_one() {
        assert_eq!(placeholders(1), "$1");
        assert_eq!(placeholders(3), "$1, $2, $3");
        assert_eq!(placeholders(64), PLACEHOLDERS);
        assert!(PLACEHOLDERS.ends_with(", $64") && !PLACEHOLDERS.contains("  "));
    }
}
