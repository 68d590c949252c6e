//! Text by strangers, made fit to be drawn: any length, any script, no surprises.
//!
//! Nothing here understands markup, so nothing can be marked up. What would not be seen, or would make other text
//! be seen wrongly, is dropped or made visible.

/// Combining marks kept on one base character. Orthographies in use need up to four (Biblical Hebrew, Vietnamese
/// two); beyond that marks only smear over the neighbours.
const MARKS_KEPT: usize = 4;
/// Characters of a name shown before it is cut; the tooltip has more.
const NAME_CHARS: usize = 64;

/// A message, line breaks kept.
pub(super) fn message(text: &str) -> String {
    clean(text, true)
}

/// A name, or anything else that must stay on one line; cut to [`NAME_CHARS`] characters.
pub(super) fn name(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in clean(text, false).chars().enumerate() {
        if index == NAME_CHARS {
            shown.push('…');
            break;
        }
        shown.push(character);
    }
    if shown.trim().is_empty() { "(no name)".into() } else { shown }
}

/// Up to two initials, upper case.
pub(super) fn initials(text: &str) -> String {
    let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let first = words.next().and_then(|word| word.chars().next());
    let second = words.next().and_then(|word| word.chars().next());
    let initials: String = first.into_iter().chain(second).flat_map(char::to_uppercase).collect();
    if initials.is_empty() { "?".into() } else { initials }
}

fn clean(text: &str, keep_lines: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut marks = 0;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if is_mark(character) {
            marks += 1;
            if marks <= MARKS_KEPT {
                shown.push(character);
            }
            continue;
        }
        marks = 0;
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                shown.push(if keep_lines { '\n' } else { ' ' })
            }
            '\t' => shown.push_str(if keep_lines { "    " } else { " " }),
            invisible if is_invisible(invisible) => {}
            control if control.is_control() => shown.push('\u{fffd}'),
            other => shown.push(other),
        }
    }
    shown
}

/// Bidirectional controls (UAX #9 section 2) reorder what others wrote ("Trojan source"); tags, zero-width spaces
/// and fillers make two names that look the same. Joiners (U+200C, U+200D) stay: scripts and emoji need them.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The blocks of combining marks that any script may be given.
fn is_mark(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_of_every_system_become_one_and_controls_become_visible() {
        assert_eq!(message("a\r\nb\rc\u{2028}d\te\u{0}\u{1b}[31m"), "a\nb\nc\nd    e\u{fffd}\u{fffd}[31m");
        assert_eq!(name("a\nb"), "a b");
    }

    #[test]
    fn direction_overrides_and_invisible_characters_are_dropped() {
        assert_eq!(message("ali\u{202e}ce\u{200b}\u{2066}\u{feff}"), "alice");
        assert_eq!(name("\u{200b}\u{3164}"), "(no name)");
    }

    #[test]
    fn joiners_stay_and_heaps_of_marks_are_cut() {
        assert_eq!(message("\u{1f468}\u{200d}\u{1f469}"), "\u{1f468}\u{200d}\u{1f469}");
        let zalgo = format!("a{}b", "\u{301}".repeat(500));
        assert_eq!(message(&zalgo), format!("a{}b", "\u{301}".repeat(MARKS_KEPT)));
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let long = "é".repeat(10_000);
        assert_eq!(name(&long).chars().count(), NAME_CHARS + 1);
    }

    #[test]
    fn initials_come_from_the_first_two_words_of_any_script() {
        assert_eq!(initials("ada lovelace byron"), "AL");
        assert_eq!(initials("王小明"), "王");
        assert_eq!(initials("ßeta"), "SS");
        assert_eq!(initials("!?"), "?");
    }
}
