//! A moving picture with a counter burnt in, as a Y4M file: 1280×720, 30 frames a second, looped by its readers.
//!
//! The counter stands in 13 squares of 64×64 pixels from x=224, y=16, bright for one: twelve bits, most significant
//! first, and one that makes the number of bright squares even. Ahoy's own test pattern has the same.

use super::scene::{Painter, Scene};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub(crate) const WIDTH: usize = 1280;
pub(crate) const HEIGHT: usize = 720;
pub(crate) const FPS: usize = 30;
/// Frames in the clip: 4 s. The counter starts again with the loop.
pub(crate) const FRAMES: usize = 120;
const SQUARES: usize = 13;
const SIDE: usize = 64;
const LEFT: usize = 224;
const TOP: usize = 16;
/// Luma of a zero and of a one (BT.601 limited range), and the border between them.
const DARK: u8 = 24;
const BRIGHT: u8 = 224;
const THRESHOLD: f64 = 124.0;

/// The path of the clip of that scene; the first test that asks for it writes it.
pub(crate) fn path(scene: Scene) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(match scene {
        Scene::Pan => "counter-v2.y4m",
        Scene::Person => "person-v1.y4m",
    });
    if !path.exists() {
        // Written aside and renamed, so that a reader never sees half of it.
        let draft = folder.join(format!("counter-{}.y4m", std::process::id()));
        write(&draft, scene).unwrap_or_else(|error| panic!("{}: {error}", draft.display()));
        fs::rename(&draft, &path).unwrap();
    }
    path
}

/// The counter that these 13 lumas show; `None` if they show none.
pub(crate) fn read_counter(squares: &[f64]) -> Option<usize> {
    assert_eq!(squares.len(), SQUARES, "{squares:?}");
    let shown = squares.iter().fold(0_usize, |bits, luma| bits << 1 | usize::from(*luma > THRESHOLD));
    (shown.count_ones() % 2 == 0).then_some(shown >> 1)
}

/// Mean luma of the 13 squares of a picture of any size.
pub(crate) fn squares(luma: &[u8], width: usize, height: usize) -> Vec<f64> {
    let (across, down) = (|x: usize| x * width / WIDTH, |y: usize| y * height / HEIGHT);
    let mean = |square: usize| {
        let columns = across(LEFT + square * SIDE)..across(LEFT + (square + 1) * SIDE);
        let rows = luma.chunks_exact(width).take(down(TOP + SIDE)).skip(down(TOP));
        let (mut sum, mut count) = (0.0, 0.0);
        for luma in rows.flat_map(|row| &row[columns.clone()]) {
            sum += f64::from(*luma);
            count += 1.0;
        }
        sum / f64::max(count, 1.0)
    };
    (0..SQUARES).map(mean).collect()
}

/// How far every square is from being undecided, at least; 0 to 131 or so. A readable picture has more than 40.
pub(crate) fn contrast(squares: &[f64]) -> f64 {
    squares.iter().map(|luma| (luma - THRESHOLD).abs()).fold(f64::INFINITY, f64::min)
}

fn write(path: &Path, scene: Scene) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(file, "YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg")?;
    let painter = Painter::new(scene);
    let mut luma = vec![0; WIDTH * HEIGHT];
    let mut chroma = vec![0; WIDTH * HEIGHT / 2];
    for frame in 0..FRAMES {
        painter.draw(frame, &mut luma, &mut chroma);
        draw_counter(&mut luma, &mut chroma, frame);
        file.write_all(b"FRAME\n")?;
        file.write_all(&luma)?;
        file.write_all(&chroma)?;
    }
    file.flush()
}

fn draw_counter(luma: &mut [u8], chroma: &mut [u8], frame: usize) {
    let shown = (frame << 1) | (frame.count_ones() as usize % 2);
    for square in 0..SQUARES {
        let one = shown >> (SQUARES - 1 - square) & 1 == 1;
        let left = LEFT + square * SIDE;
        for y in TOP..TOP + SIDE {
            luma[y * WIDTH + left..y * WIDTH + left + SIDE].fill(if one { BRIGHT } else { DARK });
        }
    }
    let width = WIDTH / 2;
    for plane in chroma.chunks_exact_mut(width * HEIGHT / 2) {
        for y in TOP / 2..(TOP + SIDE) / 2 {
            plane[y * width + LEFT / 2..y * width + (LEFT + SQUARES * SIDE) / 2].fill(128);
        }
    }
}
