//! What a participant may be called: names are shown to others, so they must be short, visible and honest.

use super::MAX_NAME_CHARS;

/// The name given to who wishes for one with nothing visible in it.
pub const FALLBACK_NAME: &str = "guest";

/// The name that is granted for this wish, if it is free: without control, invisible and direction-changing
/// characters, each run of white space one space, none around it, at most [`MAX_NAME_CHARS`] characters.
/// Cleaning a clean name changes nothing.
pub fn clean_name(wish: &str) -> String {
    let mut name = String::new();
    let mut length = 0;
    let mut gap = false;
    for character in wish.chars() {
        if character.is_whitespace() {
            gap = true;
            continue;
        }
        if is_deceptive(character) {
            continue;
        }
        let separator = gap && !name.is_empty();
        if length + usize::from(separator) + 1 > MAX_NAME_CHARS {
            break;
        }
        if separator {
            name.push(' ');
            length += 1;
        }
        gap = false;
        name.push(character);
        length += 1;
    }
    if name.chars().all(is_joiner) { FALLBACK_NAME.into() } else { name }
}

/// `base` with a number appended and shortened to fit: what a participant is called when `base` is taken.
pub fn numbered_name(base: &str, number: u32) -> String {
    let number = number.to_string();
    let room = MAX_NAME_CHARS.saturating_sub(number.len());
    let mut name: String = base.chars().take(room).collect();
    name.truncate(name.trim_end().len());
    name.push_str(&number);
    name
}

/// Characters that make a name look like another or break the line that it stands in: controls, bidirectional
/// marks, embeddings, overrides and isolates (Unicode Standard Annex 9), and characters drawn as nothing.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that only shape their neighbours: needed inside names of several scripts and in emoji, but no name
/// by themselves (zero-width joiners and variation selectors).
fn is_joiner(character: char) -> bool {
    matches!(character, ' ' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}
