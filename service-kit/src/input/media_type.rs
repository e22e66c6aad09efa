//! Media types as defined by RFC 9110 §8.3.1.
//!
//! This is not `mime` (nor `headers`, which uses it): that refuses blanks before a `;`, empty
//! parameters and quoted pairs, which the grammar allows.

/// A media type with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype`, in lower case.
    pub essence: String,
    /// Names in lower case, and values without their quotes.
    pub parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Parses the value of a `Content-Type` header. `None` if it is not a media type.
    pub fn parse(text: &str) -> Option<Self> {
        let blanks = [' ', '\t'];
        let (essence, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let (kind, subtype) = essence.trim_matches(blanks).split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut parameters = Vec::new();
        while let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start_matches(blanks);
            // The grammar allows empty parameters: `a/b;` and `a/b;; c=d`.
            if rest.is_empty() || rest.starts_with(';') {
                continue;
            }
            let (name, after) = rest.split_once('=')?;
            let (value, after) = value(after)?;
            if !is_token(name) {
                return None;
            }
            parameters.push((name.to_ascii_lowercase(), value));
            rest = after.trim_start_matches(blanks);
        }
        let essence = format!("{kind}/{subtype}").to_ascii_lowercase();
        rest.is_empty().then_some(Self { essence, parameters })
    }

    /// Whether the APIs accept it: `application/json` in UTF-8. Other parameters have no meaning
    /// (RFC 8259 §11).
    pub fn is_json(&self) -> bool {
        self.essence == "application/json" && self.is_utf_8()
    }

    /// Whether it is a JSON merge patch (RFC 7396) in UTF-8.
    pub fn is_merge_patch(&self) -> bool {
        self.essence == "application/merge-patch+json" && self.is_utf_8()
    }

    fn is_utf_8(&self) -> bool {
        let mut charsets = self.parameters.iter().filter(|(name, _)| name == "charset");
        charsets.all(|(_, value)| value.eq_ignore_ascii_case("utf-8"))
    }
}

/// Parses a token or a quoted string; returns it and the rest.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) =
            text.split_at(text.find(|c: char| !is_token_character(c)).unwrap_or(text.len()));
        return (!token.is_empty()).then(|| (token.to_owned(), rest));
    };
    let (mut value, mut characters) = (String::new(), quoted.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_character)
}

fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::MediaType;

    #[test]
    fn a_merge_patch_is_told_from_json() {
        for (text, is_patch) in [
            ("application/merge-patch+json", true),
            ("Application/Merge-Patch+JSON; charset=utf-8", true),
            ("application/merge-patch+json; charset=latin1", false),
            ("application/json-patch+json", false),
            ("application/json", false),
        ] {
            let kind = MediaType::parse(text);
            assert_eq!(kind.is_some_and(|kind| kind.is_merge_patch()), is_patch, "{text}");
        }
    }

    #[test]
    fn json_is_told_from_everything_else() {
        for (text, is_json) in [
            ("application/json", true),
            ("Application/JSON ; Charset=\"UTF-8\"", true),
            ("application/json;", true),
            ("application/json; charset=utf-8; profile=\"a;b\\\"c\"", true),
            ("application/json; charset=latin1", false),
            ("application/merge-patch+json", false),
            ("text/json", false),
            ("application/json, text/html", false),
            ("application/json charset=utf-8", false),
            ("application/json; charset", false),
            ("application/json; charset = utf-8", false),
            ("application/json; a=\"b", false),
            ("application / json", false),
            ("application/", false),
            ("", false),
        ] {
            assert_eq!(
                MediaType::parse(text).is_some_and(|kind| kind.is_json()),
                is_json,
                "{text}"
            );
        }
    }
}
