//! Reading order: text with Arabic, Hebrew or another script written from right to left, laid out by UAX #9.
//!
//! The text layout below the window shapes such letters rightly, but sets word after word from left to right. So
//! here the lines are broken in logical order, each line's runs are put into visual order, and every piece becomes a
//! section of its own, which is shaped by itself. Text without such letters, nearly all of it, is left as it was.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{Align, Color32, FontId, Label, Layout, Response, RichText, Ui, WidgetText};
use std::ops::Range;
use unicode_bidi::{BidiClass, BidiInfo, Level, ParagraphInfo, bidi_class};
use unicode_bidi_mirroring::get_mirrored;

/// One line, cut at the room's end; `text` must be fit to be drawn already.
pub(super) fn line(ui: &mut Ui, text: &str, font: FontId, color: Color32) -> Response {
    ui.add(Label::new(words(ui, text, font, color, f32::INFINITY)).truncate())
}

/// Wrapped lines; a text that begins from right to left stands at the right.
pub(super) fn lines(ui: &mut Ui, text: &str, font: FontId, color: Color32) -> Response {
    let words = words(ui, text, font, color, ui.available_width());
    if !begins_from_the_right(text) {
        return ui.add(Label::new(words).wrap());
    }
    let layout = Layout::top_down(Align::Max);
    ui.with_layout(layout, |ui| ui.add(Label::new(words).extend().halign(Align::Max))).inner
}

/// Wrapped lines of our own words with a stranger's name in them: from left to right, whatever the name begins with.
pub(super) fn sentence(ui: &mut Ui, text: &str, font: FontId, color: Color32) -> Response {
    let words = laid(ui, text, Some(Level::ltr()), font, color, ui.available_width());
    ui.add(Label::new(words).wrap())
}

/// The same as something to give to any widget; broken into lines at `width` points.
pub(super) fn words(ui: &Ui, text: &str, font: FontId, color: Color32, width: f32) -> WidgetText {
    laid(ui, text, None, font, color, width)
}

fn laid(ui: &Ui, text: &str, base: Option<Level>, font: FontId, color: Color32, width: f32) -> WidgetText {
    if !text.chars().any(|character| is_from_the_right(bidi_class(character))) {
        return RichText::new(text).font(font).color(color).into();
    }
    let measure = |piece: &str| {
        ui.fonts_mut(|fonts| fonts.layout_no_wrap(piece.to_owned(), font.clone(), color).size().x)
    };
    let mut job = LayoutJob::default();
    let format = TextFormat::simple(font.clone(), color);
    for (index, row) in rows(text, base, width, measure).into_iter().enumerate() {
        if index > 0 {
            job.append("\n", 0.0, format.clone());
        }
        for piece in row {
            job.append(&piece, 0.0, format.clone());
        }
    }
    job.wrap.max_width = f32::INFINITY;
    job.into()
}

fn is_from_the_right(class: BidiClass) -> bool {
    matches!(class, BidiClass::R | BidiClass::AL)
}

/// Rules P2 and P3, for the first paragraph.
fn begins_from_the_right(text: &str) -> bool {
    let strong = |class: &BidiClass| matches!(class, BidiClass::L | BidiClass::R | BidiClass::AL);
    text.chars().map(bidi_class).find(strong).is_some_and(is_from_the_right)
}

/// The rows of a text, each as its pieces from left to right. Without a base direction each paragraph has its own.
fn rows(text: &str, base: Option<Level>, width: f32, measure: impl Fn(&str) -> f32) -> Vec<Vec<String>> {
    let bidi = BidiInfo::new(text, base);
    let mut rows = Vec::new();
    for paragraph in &bidi.paragraphs {
        for line in broken(text, paragraph.range.clone(), width, &measure) {
            rows.push(in_visual_order(&bidi, paragraph, line));
        }
    }
    rows
}

/// Breaks a paragraph into lines no wider than `width`: at white space, or anywhere in a word that is wider itself.
fn broken(
    text: &str,
    paragraph: Range<usize>,
    width: f32,
    measure: impl Fn(&str) -> f32,
) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let end = paragraph.start + text[paragraph.clone()].trim_end_matches('\n').len();
    let mut line = paragraph.start..paragraph.start;
    let mut used = 0.0;
    for word in text[paragraph.start..end].split_inclusive(char::is_whitespace) {
        let bare = measure(word.trim_end());
        if used + bare > width && !line.is_empty() {
            lines.push(line.clone());
            line = line.end..line.end;
            used = 0.0;
        }
        if bare <= width {
            used += measure(word);
            line.end += word.len();
            continue;
        }
        for character in word.chars() {
            let advance = measure(character.encode_utf8(&mut [0; 4]));
            if used + advance > width && !line.is_empty() {
                lines.push(line.clone());
                line = line.end..line.end;
                used = 0.0;
            }
            used += advance;
            line.end += character.len_utf8();
        }
    }
    lines.push(line);
    lines
}

/// Rules L1, L2 and L4 on one line. A run from left to right is one piece; one from right to left falls into its
/// words and what stands between them, for each piece may come from another font, and be shaped apart from the rest.
fn in_visual_order(bidi: &BidiInfo<'_>, paragraph: &ParagraphInfo, line: Range<usize>) -> Vec<String> {
    let text = &bidi.text[line.clone()];
    let line = line.start..line.start + text.trim_end().len();
    if line.is_empty() {
        return Vec::new();
    }
    let (levels, runs) = bidi.visual_runs(paragraph, line);
    let mut shown = Vec::new();
    for run in runs {
        let text = &bidi.text[run.clone()];
        if levels.get(run.start).is_some_and(|level| level.is_rtl()) {
            shown.extend(pieces(text).into_iter().rev());
        } else {
            shown.push(text.to_owned());
        }
    }
    shown
}

/// Words, each whole, and every other character for itself, mirrored.
fn pieces(run: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut in_word = false;
    for character in run.chars() {
        let joins = in_word && matches!(bidi_class(character), BidiClass::NSM | BidiClass::BN);
        let of_word = joins || is_from_the_right(bidi_class(character));
        match pieces.last_mut() {
            Some(word) if of_word && in_word => word.push(character),
            _ => pieces.push(get_mirrored(character).unwrap_or(character).to_string()),
        }
        in_word = of_word;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character ten points wide.
    fn drawn(text: &str, width: f32) -> Vec<String> {
        let rows = rows(text, None, width, |piece| 10.0 * piece.chars().count() as f32);
        rows.into_iter().map(|row| row.join("|")).collect()
    }

    #[test]
    fn words_from_the_right_stand_from_the_right() {
        assert_eq!(drawn("שלום לך עולם", f32::INFINITY), ["עולם| |לך| |שלום"]);
    }

    #[test]
    fn a_foreign_word_or_number_keeps_its_own_direction() {
        assert_eq!(drawn("קניתי iPhone 15 היום", f32::INFINITY), ["היום| |iPhone 15| |קניתי"]);
        assert_eq!(drawn("he said שלום לך today", f32::INFINITY), ["he said |לך| |שלום| today"]);
        assert_eq!(drawn("שעה 12:30", f32::INFINITY), ["12:30| |שעה"]);
    }

    #[test]
    fn our_own_sentence_begins_at_the_left_also_with_a_name_from_the_right() {
        let rows = rows("שלום לך is calling.", Some(Level::ltr()), f32::INFINITY, |_| 1.0);
        assert_eq!(rows.concat().join("|"), "לך| |שלום| is calling.");
    }

    #[test]
    fn brackets_are_mirrored_and_marks_stay_on_their_letters() {
        assert_eq!(drawn("(שלום)", f32::INFINITY), ["(|שלום|)"]);
        assert_eq!(drawn("מַה?", f32::INFINITY), ["?|מַה"]);
    }

    #[test]
    fn the_first_words_are_in_the_first_row() {
        assert_eq!(drawn("אחת שתיים שלוש", 100.0), ["שתיים| |אחת", "שלוש"]);
        assert_eq!(drawn("שורה\nline two", 300.0), ["שורה", "line two"]);
    }

    #[test]
    fn a_word_wider_than_the_room_is_broken() {
        assert_eq!(drawn(&"א".repeat(25), 100.0), ["א".repeat(10), "א".repeat(10), "א".repeat(5)]);
    }

    #[test]
    fn the_side_follows_the_first_strong_letter() {
        assert!(begins_from_the_right("… 12 שלום hello"));
        assert!(!begins_from_the_right("… 12 hello שלום"));
    }
}
