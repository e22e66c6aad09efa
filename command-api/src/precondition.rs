//! `If-Match`: which versions of the changed aggregate the caller has seen.

/// How many entity tags one header may list.
const MAX_TAGS: usize = 16;

/// What the caller requires of the aggregate's version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing: a lost race is decided anew.
    #[default]
    None,
    /// The version is one of these; empty when no tag can match.
    OneOf(Vec<i64>),
}

/// The header is not a list of entity tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("If-Match is neither * nor a list of at most {MAX_TAGS} quoted entity tags")]
pub struct MalformedPrecondition;

impl Precondition {
    /// Reads the header's value: `*`, or tags `"<version>"` or `"<version>.<position>"`, of which the version counts.
    ///
    /// A weak tag and one that is not ours match nothing (RFC 9110 §13.1.1: strong comparison).
    ///
    /// # Errors
    /// [`MalformedPrecondition`].
    pub fn parse(text: &str) -> Result<Self, MalformedPrecondition> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::None);
        }
        let (mut versions, mut rest, mut tags) = (Vec::new(), text, 0);
        loop {
            tags += 1;
            let (tag, after, weak) = take_tag(rest).filter(|_| tags <= MAX_TAGS).ok_or(MalformedPrecondition)?;
            versions.extend(version(tag).filter(|_| !weak));
            match after.trim_start().strip_prefix(',') {
                Some(next) => rest = next.trim_start(),
                None if after.trim().is_empty() => return Ok(Self::OneOf(versions)),
                None => return Err(MalformedPrecondition),
            }
        }
    }

    /// Whether an aggregate at `version` is what the caller has seen.
    pub fn holds(&self, version: i64) -> bool {
        match self {
            Self::None => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }

    /// Whether the caller named a version.
    pub const fn is_named(&self) -> bool {
        matches!(self, Self::OneOf(_))
    }
}

fn take_tag(text: &str) -> Option<(&str, &str, bool)> {
    let (weak, text) = text.strip_prefix("W/").map_or((false, text), |text| (true, text));
    let (tag, rest) = text.strip_prefix('"')?.split_once('"')?;
    Some((tag, rest, weak))
}

fn version(tag: &str) -> Option<i64> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    let (version, position) = tag.split_once('.').map_or((tag, None), |(version, position)| (version, Some(position)));
    position.is_none_or(|position| number(position).is_some()).then(|| number(version)).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{MAX_TAGS, MalformedPrecondition, Precondition};

    #[test]
    fn the_version_alone_counts() {
        for text in ["\"3\"", "\"3.118\"", " \"3\" ", "\"2\", \"3\"", "\"2\",\"3.5\""] {
            let precondition = Precondition::parse(text).unwrap();
            assert!(precondition.holds(3) && !precondition.holds(4) && precondition.is_named(), "{text}");
        }
    }

    #[test]
    fn a_star_names_no_version() {
        assert_eq!(Precondition::parse("*"), Ok(Precondition::None));
    }

    #[test]
    fn a_weak_or_foreign_tag_matches_nothing() {
        for text in ["W/\"3\"", "\"three\"", "\"\"", "\"3.x\"", "\"-3\"", "\"3.\"", "\"99999999999999999999\""] {
            assert!(!Precondition::parse(text).unwrap().holds(3), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        let long = vec!["\"1\""; MAX_TAGS + 1].join(",");
        for text in ["", "3", "\"3", "3\"", "\"3\" \"4\"", "\"3\",", "*, \"3\"", &long] {
            assert_eq!(Precondition::parse(text), Err(MalformedPrecondition), "{text}");
        }
    }
}
