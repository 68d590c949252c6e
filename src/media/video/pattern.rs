//! The moving test pattern: a soft gradient, two drifting discs, a clock with milliseconds, the picture's number and
//! the burnt-in [counter](super::counter). Draws into a [`Frame`]; who publishes it is [`super::capture`].

use super::counter::draw_counter;
use super::frame::{Frame, Size};
use std::f64::consts::TAU;
use std::fmt::Write;
use std::time::Duration;

/// Rows of a glyph, 5 bits each, most significant bit left.
type Glyph = [u8; 7];

/// Luma, Cb, Cr.
type Colour = (u8, u8, u8);

const GLYPH_COLUMNS: usize = 5;
/// Glyph plus the gap after it.
const GLYPH_PITCH: usize = 6;
const INK: Colour = (225, 128, 128);
const PANEL: Colour = (28, 134, 124);
const WARM: Colour = (170, 80, 170);
const COOL: Colour = (150, 165, 90);

/// Draws pictures of one size.
pub(crate) struct Pattern {
    backdrop: Frame,
    text: String,
}

impl Pattern {
    /// Prepares the backdrop.
    pub(crate) fn new(size: Size) -> Self {
        let mut backdrop = Frame::black(size, std::time::Instant::now());
        let (y, u, v) = backdrop.planes_mut();
        gradient(y, size, 60, 60, 30);
        gradient(u, size.chroma(), 132, 24, -10);
        gradient(v, size.chroma(), 128, -22, 12);
        Self { backdrop, text: String::with_capacity(24) }
    }

    /// Draws picture `number`; `clock` is the time since the Unix epoch, shown as UTC.
    pub(crate) fn draw(&mut self, frame: &mut Frame, number: u64, clock: Duration) {
        let size = self.backdrop.size();
        let (y, u, v) = frame.planes_mut();
        y.copy_from_slice(self.backdrop.y());
        u.copy_from_slice(self.backdrop.u());
        v.copy_from_slice(self.backdrop.v());
        let mut canvas = Canvas { size, y, u, v };
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        // One turn in about four seconds at 30 pictures a second.
        let turn = (number % 3600) as f64 / 120.0 * TAU;
        canvas.disc(
            (0.5 + 0.36 * turn.cos()) * width,
            (0.52 + 0.30 * (turn * 2.0).sin()) * height,
            height / 9.0,
            WARM,
        );
        canvas.disc(
            (0.5 + 0.40 * (turn * 0.5).sin()) * width,
            (0.55 + 0.28 * turn.cos()) * height,
            height / 14.0,
            COOL,
        );
        let unit = (size.width / 106).max(1) as usize;
        let day = clock.as_secs() % 86_400;
        self.write(format_args!(
            "{:02}:{:02}:{:02}.{:03}",
            day / 3600,
            day / 60 % 60,
            day % 60,
            clock.subsec_millis()
        ));
        canvas.text(&self.text, height * 0.45, unit);
        self.write(format_args!("UTC #{number}"));
        canvas.text(&self.text, height * 0.68, unit / 2);
        draw_counter(frame, number);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.clear();
        // Writing to a string cannot fail.
        self.text.write_fmt(text).unwrap_or_default();
    }
}

struct Canvas<'a> {
    size: Size,
    y: &'a mut [u8],
    u: &'a mut [u8],
    v: &'a mut [u8],
}

impl Canvas<'_> {
    /// Fills a rectangle; even coordinates keep chroma aligned.
    fn rectangle(&mut self, left: usize, top: usize, width: usize, height: usize, colour: Colour) {
        fill(self.y, self.size, (left, top, width, height), colour.0);
        let half = (left / 2, top / 2, width.div_ceil(2), height.div_ceil(2));
        fill(self.u, self.size.chroma(), half, colour.1);
        fill(self.v, self.size.chroma(), half, colour.2);
    }

    fn disc(&mut self, x: f64, y: f64, radius: f64, colour: Colour) {
        let chroma = self.size.chroma();
        disc(self.y, self.size, (x, y, radius), colour.0);
        disc(self.u, chroma, (x / 2.0, y / 2.0, radius / 2.0), colour.1);
        disc(self.v, chroma, (x / 2.0, y / 2.0, radius / 2.0), colour.2);
    }

    /// Writes centred text on a panel, `unit` pixels a dot.
    fn text(&mut self, text: &str, top: f64, unit: usize) {
        let unit = unit.max(1);
        let width = text.len() * GLYPH_PITCH * unit;
        let left = (self.size.width as usize).saturating_sub(width) / 4 * 2;
        let top = top as usize / 2 * 2;
        let panel = (left.saturating_sub(2 * unit) & !1, top.saturating_sub(2 * unit) & !1);
        self.rectangle(panel.0, panel.1, width + 3 * unit, 11 * unit, PANEL);
        for (index, character) in text.chars().enumerate() {
            let origin = left + index * GLYPH_PITCH * unit;
            for (row, bits) in glyph(character).into_iter().enumerate() {
                for column in 0..GLYPH_COLUMNS {
                    if bits >> (GLYPH_COLUMNS - 1 - column) & 1 == 1 {
                        let dot = (origin + column * unit, top + row * unit, unit, unit);
                        fill(self.y, self.size, dot, INK.0);
                    }
                }
            }
        }
    }
}

/// Fills (left, top, width, height), clipped to the plane.
fn fill(plane: &mut [u8], size: Size, area: (usize, usize, usize, usize), value: u8) {
    let stride = size.width as usize;
    let (left, right) = (area.0.min(stride), (area.0 + area.2).min(stride));
    for row in plane.chunks_exact_mut(stride).skip(area.1).take(area.3) {
        row[left..right].fill(value);
    }
}

/// Fills (centre x, centre y, radius), clipped to the plane.
fn disc(plane: &mut [u8], size: Size, (x, y, radius): (f64, f64, f64), value: u8) {
    let stride = size.width as usize;
    let first = (y - radius).ceil().max(0.0) as usize;
    let last = (y + radius).floor().clamp(0.0, f64::from(size.height - 1)) as usize;
    for (index, row) in plane.chunks_exact_mut(stride).enumerate().take(last + 1).skip(first) {
        let dy = index as f64 - y;
        let half = (radius * radius - dy * dy).max(0.0).sqrt();
        let left = (x - half).clamp(0.0, stride as f64) as usize;
        let right = (x + half).clamp(0.0, stride as f64) as usize;
        row[left..right].fill(value);
    }
}

/// A plane that starts at `base` and changes by `across` and `down` over its width and height.
fn gradient(plane: &mut [u8], size: Size, base: i32, across: i32, down: i32) {
    let (width, height) = (size.width as i32, size.height as i32);
    for (y, row) in plane.chunks_exact_mut(size.width as usize).enumerate() {
        for (x, sample) in row.iter_mut().enumerate() {
            *sample = (base + across * x as i32 / width + down * y as i32 / height).clamp(16, 235) as u8;
        }
    }
}

fn glyph(character: char) -> Glyph {
    match character {
        '0' => [14, 17, 19, 21, 25, 17, 14],
        '1' => [4, 12, 4, 4, 4, 4, 14],
        '2' => [14, 17, 1, 2, 4, 8, 31],
        '3' => [31, 2, 4, 2, 1, 17, 14],
        '4' => [2, 6, 10, 18, 31, 2, 2],
        '5' => [31, 16, 30, 1, 1, 17, 14],
        '6' => [6, 8, 16, 30, 17, 17, 14],
        '7' => [31, 1, 2, 4, 8, 8, 8],
        '8' => [14, 17, 17, 14, 17, 17, 14],
        '9' => [14, 17, 17, 15, 1, 2, 12],
        ':' => [0, 4, 4, 0, 4, 4, 0],
        '.' => [0, 0, 0, 0, 0, 12, 12],
        '#' => [10, 10, 31, 10, 31, 10, 10],
        'U' => [17, 17, 17, 17, 17, 17, 14],
        'T' => [31, 4, 4, 4, 4, 4, 4],
        'C' => [14, 17, 16, 16, 16, 17, 14],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::super::counter::read_counter;
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_picture_moves_and_says_its_number_at_every_size() {
        for size in [Size::HD, Size::new(640, 480), Size::new(320, 180), Size::new(64, 36), Size::new(16, 16)]
        {
            let mut pattern = Pattern::new(size);
            let (mut first, mut second) =
                (Frame::black(size, Instant::now()), Frame::black(size, Instant::now()));
            pattern.draw(&mut first, 4094, Duration::from_millis(1_700_000_000_123));
            pattern.draw(&mut second, 4101, Duration::from_millis(1_700_000_000_356));
            assert_ne!(first.data(), second.data());
            if size.width >= 320 {
                assert_eq!((read_counter(&first), read_counter(&second)), (Some(4094), Some(5)));
            }
        }
    }

    #[test]
    fn the_clock_is_drawn_from_the_time_given() {
        let mut pattern = Pattern::new(Size::HD);
        let mut draw = |milliseconds| {
            let mut frame = Frame::black(Size::HD, Instant::now());
            pattern.draw(&mut frame, 7, Duration::from_millis(milliseconds));
            frame
        };
        let (a, b, again) = (draw(86_400_000), draw(86_400_001), draw(2 * 86_400_000));
        assert_ne!(a.data(), b.data());
        assert_eq!(a.data(), again.data());
    }
}
