//! Which characters are visible, and which invisible ones a name must not contain.

/// Characters that are not visible.
///
/// They are Unicode's `Default_Ignorable_Code_Point` (zero-width characters, fillers, variation
/// selectors and tags), the controls of interlinear annotations and of hieroglyphs, the blank
/// Braille pattern, and noncharacters.
const INVISIBLE: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fdd0}', '\u{fdef}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether the character is visible.
pub(in crate::value) fn is_visible(character: char) -> bool {
    !character.is_whitespace()
        && !character.is_control()
        && !INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

/// Whether the character controls a device, or ends a line or a paragraph.
pub(in crate::value) fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Whether the character opens or closes a run of text in another direction.
///
/// Such a run would include the text after the name. Marks that only set the direction of their
/// neighbours (U+200E, U+200F, U+061C) do not open one.
pub(in crate::value) const fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
