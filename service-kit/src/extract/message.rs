//! Rewrites serde's messages in JSON's terms, because serde names Rust types.

/// Rewrites one message. It does not repeat the value.
pub(super) fn in_words_of_the_format(message: &str) -> String {
    const OF_TYPES: &[&str] =
        &["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    if OF_TYPES.iter().any(|start| message.starts_with(start))
        && let Some((_, expected)) = message.rsplit_once(", expected ")
    {
        return format!("expected {}", format_word(expected));
    }
    match message {
        "provided string was not `true` or `false`" => "expected true or false".to_owned(),
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too large to fit in target type"
        | "number too small to fit in target type" => "expected an integer".to_owned(),
        other => other.to_owned(),
    }
}

fn format_word(expected: &str) -> &str {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128"
        | "usize" => "an integer",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "unit" => "null",
        "a map" => "an object",
        "a sequence" => "an array",
        other if other.starts_with("struct ") => "an object",
        other
            if other.starts_with("tuple ")
                || other.starts_with("a tuple ")
                || other.starts_with("an array ") =>
        {
            "an array"
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::in_words_of_the_format;

    #[test]
    fn no_type_of_rust_is_named_and_no_value_repeated() {
        for (message, words) in [
            ("invalid type: floating point `1.5`, expected i64", "expected an integer"),
            ("invalid type: string \"a, expected b\", expected u32", "expected an integer"),
            ("invalid value: integer `-1`, expected u8", "expected an integer"),
            ("invalid type: null, expected struct RegisterUserBody", "expected an object"),
            ("invalid type: map, expected a sequence", "expected an array"),
            ("invalid length 1, expected tuple struct Pair with 2 elements", "expected an array"),
            (
                "unknown variant `sleeping`, expected `active` or `deactivated`",
                "expected `active` or `deactivated`",
            ),
            ("unknown field `x`, expected `page`", "unknown field `x`, expected `page`"),
            ("invalid digit found in string", "expected an integer"),
        ] {
            assert_eq!(in_words_of_the_format(message), words);
        }
    }
}
