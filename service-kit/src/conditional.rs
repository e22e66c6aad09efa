//! Entity tags and conditional requests (RFC 9110 §8.8.3 and §13): one strict parser, and the
//! precedence of the conditions.
//!
//! No answer has a `Last-Modified`, so `If-Modified-Since` and `If-Unmodified-Since` are ignored,
//! as §13.1.3 and §13.1.4 require for a resource without a modification date.
//!
//! This is not `headers`: its `IfMatch` hands out no tags, and takes any text for a list of tags,
//! so a malformed condition would be one that never holds.
//!
//! Conditions count only where the answer would otherwise be a success (§13.2.1). Callers first
//! find out whether the resource exists.

use std::fmt;

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};

use crate::problem::Problem;

/// The maximum number of tags in one header of a request.
pub const MAX_TAGS: usize = 16;

/// A list of tags as clients write it, as a regular expression for JSON Schema. The parser also
/// reads what RFC 9110 allows and nobody writes, such as empty members.
pub const PATTERN: &str = r#"^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*"){0,15})$"#;

/// An entity tag: `"text"`, or `W/"text"` if it is weak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    weak: bool,
    text: String,
}

/// The tags that a condition lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// `*`: any existing resource matches.
    Any,
    /// One of these tags must match.
    OneOf(Vec<EntityTag>),
}

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`: the resource's tag must match.
    pub if_match: Option<Tags>,
    /// `If-None-Match`: the resource's tag must not match.
    pub if_none_match: Option<Tags>,
}

/// The result of evaluating the conditions of a GET or HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All conditions hold: send the answer.
    Holds,
    /// The client has the current version: answer 304.
    NotModified,
    /// `If-Match` does not hold: answer 412.
    Failed,
}

impl EntityTag {
    /// A tag that changes with every byte of the representation. `text` is visible ASCII without
    /// double quotes.
    pub fn strong(text: impl Into<String>) -> Self {
        Self { weak: false, text: text.into() }
    }

    /// A tag that changes only with significant changes. For `text` see [`EntityTag::strong`].
    pub fn weak(text: impl Into<String>) -> Self {
        Self { weak: true, text: text.into() }
    }

    /// The text between the quotes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the tag is weak.
    pub const fn is_weak(&self) -> bool {
        self.weak
    }

    fn matches_strongly(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.text == other.text
    }

    fn matches_weakly(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.text)
    }
}

impl Tags {
    /// Reads the tags of a header; `None` if the request does not have it.
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let lines: Vec<_> =
            headers.get_all(name).iter().map(axum::http::HeaderValue::as_bytes).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        // Several lines of a list header mean the same as one (RFC 9110 §5.3).
        Self::parse(&lines.join(&b',')).map(Some).ok_or_else(|| malformed(name))
    }

    /// Skips empty list members (§5.6.1), but refuses an empty list: it can only be a client's
    /// mistake.
    fn parse(text: &[u8]) -> Option<Self> {
        if text.trim_ascii() == b"*" {
            return Some(Self::Any);
        }
        let (mut tags, mut rest) = (Vec::new(), text.trim_ascii_start());
        while !rest.is_empty() {
            if rest[0] != b',' {
                let (tag, after) = parse_tag(rest)?;
                tags.push(tag);
                rest = after.trim_ascii_start();
            }
            match rest.split_first() {
                None => break,
                Some((b',', after)) => rest = after.trim_ascii_start(),
                Some(_) => return None,
            }
        }
        (1..=MAX_TAGS).contains(&tags.len()).then_some(Self::OneOf(tags))
    }

    fn holds(&self, matches: impl Fn(&EntityTag) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(matches),
        }
    }
}

/// Parses one tag; returns it and the rest of the text.
fn parse_tag(text: &[u8]) -> Option<(EntityTag, &[u8])> {
    let (weak, text) = text.strip_prefix(b"W/").map_or((false, text), |text| (true, text));
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    let (inner, rest) = (&text[..end], &text[end + 1..]);
    let is_tag_character =
        |byte: &u8| *byte == 0x21 || (0x23..=0x7e).contains(byte) || *byte >= 0x80;
    let text = String::from_utf8_lossy(inner).into_owned();
    inner.iter().all(is_tag_character).then_some((EntityTag { weak, text }, rest))
}

fn malformed(name: &HeaderName) -> Problem {
    let (code, shown) = if name == IF_MATCH {
        ("malformed-if-match", "If-Match")
    } else {
        ("malformed-if-none-match", "If-None-Match")
    };
    Problem::bad_request(code, format!("The {shown} header cannot be read"))
        .detail(format!("{shown} is neither * nor a list of at most {MAX_TAGS} quoted entity tags"))
}

impl Preconditions {
    /// Reads the conditions of a request.
    ///
    /// # Errors
    /// 400 if a header is malformed.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let (if_match, if_none_match) =
            (Tags::of(headers, &IF_MATCH)?, Tags::of(headers, &IF_NONE_MATCH)?);
        Ok(Self { if_match, if_none_match })
    }

    /// Evaluates the conditions of a GET or HEAD whose answer has the tag `current`.
    pub fn of_read(&self, current: &EntityTag) -> Verdict {
        if self
            .if_match
            .as_ref()
            .is_some_and(|tags| !tags.holds(|tag| tag.matches_strongly(current)))
        {
            Verdict::Failed
        } else if self
            .if_none_match
            .as_ref()
            .is_some_and(|tags| tags.holds(|tag| tag.matches_weakly(current)))
        {
            Verdict::NotModified
        } else {
            Verdict::Holds
        }
    }
}

/// The parts of one row's entity tag. The tag changes whenever the representation may have changed.
/// It covers the row's version, the position of its last change, the generations of the tables
/// read, the API version, and whether the row lacks events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowTag<'a> {
    /// The row's version, which the command API compares.
    pub version: i64,
    /// The position of the last event that changed the row.
    pub position: i64,
    /// The live generation of each projection that was read.
    pub generations: &'a [i32],
    /// The API version, such as `v1`.
    pub api: &'a str,
    /// Whether the row lacks events.
    pub stale: bool,
}

const STALE: &str = "stale";

impl RowTag<'_> {
    /// Formats the tag: `"<version>.<position>.<generations>.<API>"`, with `.stale` if it applies.
    ///
    /// ```
    /// # use service_kit::conditional::RowTag;
    /// let tag = RowTag { version: 3, position: 17, generations: &[2], api: "v1", stale: false };
    /// assert_eq!(tag.tag().to_string(), "\"3.17.2.v1\"");
    /// ```
    pub fn tag(&self) -> EntityTag {
        let Self { version, position, generations, api, stale } = self;
        let generations: Vec<_> = generations.iter().map(ToString::to_string).collect();
        let stale = if *stale { format!(".{STALE}") } else { String::new() };
        EntityTag::strong(format!("{version}.{position}.{}.{api}{stale}", generations.join("-")))
    }
}

/// Extracts the version from a tag: `"<version>"` or a [`RowTag`]. `None` for any other tag.
pub fn version_of(tag: &EntityTag) -> Option<i64> {
    let parts: Vec<&str> = tag.text.split('.').collect();
    // Numbers must be in canonical form: another spelling is another tag (RFC 9110 §8.8.3.2).
    let is_number = |part: &str| {
        part.parse::<i64>().is_ok_and(|number| number >= 0 && number.to_string() == part)
    };
    let is_api = |part: &str| part.strip_prefix('v').is_some_and(is_number);
    let fits = match parts.as_slice() {
        [_] => true,
        [_, position, generations, api, stale @ ..] => {
            let stale = matches!(stale, [] | [STALE]);
            is_number(position) && generations.split('-').all(is_number) && is_api(api) && stale
        }
        _ => false,
    };
    parts.first().filter(|version| fits && is_number(version))?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use axum::http::HeaderValue;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "reads better at every call")]
    fn with(name: HeaderName, lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line).unwrap())).collect()
    }

    fn of(name: HeaderName, text: &str) -> Result<Preconditions, Problem> {
        Preconditions::of(&with(name, &[text.as_bytes()]))
    }

    #[test]
    fn a_list_is_read_tag_by_tag_over_all_its_lines() {
        let headers = with(IF_MATCH, &[b"\"a\" , W/\"b,\"", b", \"\",,\"\xff!\""]);
        let Some(Tags::OneOf(tags)) = Preconditions::of(&headers).unwrap().if_match else {
            panic!("a list")
        };
        let shown: Vec<_> = tags.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["\"a\"", "W/\"b,\"", "\"\"", "\"\u{fffd}!\""]);
        assert_eq!(of(IF_NONE_MATCH, " * ").unwrap().if_none_match, Some(Tags::Any));
        assert_eq!(Preconditions::of(&HeaderMap::new()).unwrap(), Preconditions::default());
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        let long = vec!["\"1\""; MAX_TAGS + 1].join(",");
        let pattern = regex::Regex::new(PATTERN).unwrap();
        for text in [
            "",
            ",",
            "3",
            "\"3",
            "3\"",
            "\"3\" \"4\"",
            "*, \"3\"",
            "\"3\", *",
            "w/\"3\"",
            "W/ \"3\"",
            "\"a b\"",
            &long,
        ] {
            for (name, code) in
                [(IF_MATCH, "malformed-if-match"), (IF_NONE_MATCH, "malformed-if-none-match")]
            {
                let problem = of(name, text).unwrap_err();
                assert_eq!((problem.status().as_u16(), problem.code()), (400, code), "{text}");
            }
            assert!(!pattern.is_match(text), "{text}");
        }
        let two = with(IF_MATCH, &[b"*", b"\"3\""]);
        assert!(Preconditions::of(&two).is_err());
    }

    #[test]
    fn what_the_description_allows_is_read() {
        let pattern = regex::Regex::new(PATTERN).unwrap();
        let most = vec!["W/\"1\""; MAX_TAGS].join(",");
        for text in ["*", "\"\"", "\"3\"", "W/\"3.1\"", "\"3\" ,\t\"!#~\"", &most] {
            assert!(pattern.is_match(text) && of(IF_MATCH, text).is_ok(), "{text}");
        }
    }

    #[test]
    fn if_match_compares_strongly_and_if_none_match_weakly() {
        let (strong, weak) = (EntityTag::strong("3"), EntityTag::weak("3"));
        for (name, text, current, verdict) in [
            (IF_MATCH, "\"3\"", &strong, Verdict::Holds),
            (IF_MATCH, "\"2\", \"3\"", &strong, Verdict::Holds),
            (IF_MATCH, "*", &weak, Verdict::Holds),
            (IF_MATCH, "W/\"3\"", &strong, Verdict::Failed),
            (IF_MATCH, "\"3\"", &weak, Verdict::Failed),
            (IF_MATCH, "W/\"3\"", &weak, Verdict::Failed),
            (IF_NONE_MATCH, "\"3\"", &weak, Verdict::NotModified),
            (IF_NONE_MATCH, "\"1\", W/\"3\"", &strong, Verdict::NotModified),
            (IF_NONE_MATCH, "*", &strong, Verdict::NotModified),
            (IF_NONE_MATCH, "\"4\"", &strong, Verdict::Holds),
        ] {
            assert_eq!(of(name, text).unwrap().of_read(current), verdict, "{text} {current}");
        }
    }

    #[test]
    fn a_failed_if_match_counts_before_if_none_match() {
        let mut headers = with(IF_MATCH, &[b"\"2\""]);
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("\"3\""));
        assert_eq!(
            Preconditions::of(&headers).unwrap().of_read(&EntityTag::strong("3")),
            Verdict::Failed
        );
        headers.insert(IF_MATCH, HeaderValue::from_static("\"3\""));
        assert_eq!(
            Preconditions::of(&headers).unwrap().of_read(&EntityTag::strong("3")),
            Verdict::NotModified
        );
    }

    #[test]
    fn dates_are_ignored_whatever_they_say() {
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "soon"] {
            for name in ["if-modified-since", "if-unmodified-since"] {
                let headers = with(name.parse().unwrap(), &[date.as_bytes()]);
                assert_eq!(
                    Preconditions::of(&headers).unwrap().of_read(&EntityTag::strong("3")),
                    Verdict::Holds
                );
            }
        }
    }

    #[test]
    fn a_rows_tag_differs_in_all_that_it_names_and_tells_its_version() {
        let row =
            RowTag { version: 3, position: 17, generations: &[1, 4], api: "v1", stale: false };
        let others = [
            RowTag { version: 4, ..row },
            RowTag { position: 18, ..row },
            RowTag { generations: &[2, 4], ..row },
            RowTag { api: "v2", ..row },
            RowTag { stale: true, ..row },
        ];
        assert_eq!(version_of(&row.tag()), Some(3));
        for other in others {
            assert_ne!(other.tag(), row.tag());
            assert_eq!(version_of(&other.tag()), Some(other.version));
        }
        assert_eq!(version_of(&EntityTag::strong("12")), Some(12));
        for foreign in [
            "",
            "three",
            "-3",
            "+3",
            "03",
            "3.",
            "3.17",
            "3.17.2",
            "3.x.2.v1",
            "3.17.2.w1",
            "3.17.2.v1.fresh",
            "3.17.2.v01",
        ] {
            assert_eq!(version_of(&EntityTag::strong(foreign)), None, "{foreign}");
        }
        let too_large = i128::from(i64::MAX) + 1;
        for foreign in [too_large.to_string(), format!("3.{too_large}.2.v1")] {
            assert_eq!(version_of(&EntityTag::strong(foreign)), None);
        }
    }
}
