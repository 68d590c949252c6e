//! A moving picture with a counter burnt in, as a Y4M file: 1280×720, 30 frames a second, looped by its readers.
//!
//! The counter stands in 13 squares of 64×64 pixels from x=224, y=16, bright for one: twelve bits, most significant
//! first, and one that makes the number of bright squares even. Ahoy's own test pattern has the same.

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

/// The clip's path; the first test that asks for it writes it.
pub(crate) fn path() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join("counter-v2.y4m");
    if !path.exists() {
        // Written aside and renamed, so that a reader never sees half of it.
        let draft = folder.join(format!("counter-{}.y4m", std::process::id()));
        write(&draft).unwrap_or_else(|error| panic!("{}: {error}", draft.display()));
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

fn write(path: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(file, "YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg")?;
    let detail = detail();
    let mut luma = vec![0; WIDTH * HEIGHT];
    let mut chroma = vec![0; WIDTH * HEIGHT / 2];
    for frame in 0..FRAMES {
        draw_luma(&mut luma, &detail, frame);
        draw_chroma(&mut chroma, frame);
        file.write_all(b"FRAME\n")?;
        file.write_all(&luma)?;
        file.write_all(&chroma)?;
    }
    file.flush()
}

/// Smooth noise of camera-like detail, tiled: twice as wide as the picture's step so that it can be panned.
fn detail() -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as u8
    };
    let raw: Vec<u8> = (0..512 * 512).map(|_| random()).collect();
    let at = |x: usize, y: usize| u32::from(raw[(y % 512) * 512 + x % 512]);
    let smooth = |x: usize, y: usize| {
        let sum: u32 =
            (0..4).flat_map(|dy| (0..4).map(move |dx| (dx, dy))).map(|(dx, dy)| at(x + dx, y + dy)).sum();
        (sum / 16) as u8
    };
    (0..512 * 512).map(|index| smooth(index % 512, index / 512)).collect()
}

fn draw_luma(luma: &mut [u8], detail: &[u8], frame: usize) {
    // The background pans by whole turns of the loop, so that the loop has no seam.
    let pan = frame * 512 / FRAMES;
    let (ball_x, ball_y) = ball(frame);
    for (y, row) in luma.chunks_exact_mut(WIDTH).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let texture = detail[(y % 512) * 512 + (x + pan) % 512] / 2;
            let shade = (x * 60 / WIDTH + y * 40 / HEIGHT) as u8;
            let near = x.abs_diff(ball_x).pow(2) + y.abs_diff(ball_y).pow(2) < 90 * 90;
            *pixel = if near { 200 - texture / 4 } else { 16 + shade + texture };
        }
    }
    let shown = (frame << 1) | (frame.count_ones() as usize % 2);
    for square in 0..SQUARES {
        let one = shown >> (SQUARES - 1 - square) & 1 == 1;
        let left = LEFT + square * SIDE;
        for y in TOP..TOP + SIDE {
            luma[y * WIDTH + left..y * WIDTH + left + SIDE].fill(if one { BRIGHT } else { DARK });
        }
    }
}

fn draw_chroma(chroma: &mut [u8], frame: usize) {
    let (width, height) = (WIDTH / 2, HEIGHT / 2);
    let (blue, red) = chroma.split_at_mut(width * height);
    let (ball_x, ball_y) = ball(frame);
    for y in 0..height {
        for x in 0..width {
            let near = (2 * x).abs_diff(ball_x).pow(2) + (2 * y).abs_diff(ball_y).pow(2) < 90 * 90;
            blue[y * width + x] = if near { 90 } else { 108 + (x * 40 / width) as u8 };
            red[y * width + x] = if near { 200 } else { 148 - (y * 40 / height) as u8 };
        }
    }
    for plane in [blue, red] {
        for y in TOP / 2..(TOP + SIDE) / 2 {
            plane[y * width + LEFT / 2..y * width + (LEFT + SQUARES * SIDE) / 2].fill(128);
        }
    }
}

/// Centre of a ball that runs once round the picture per loop.
fn ball(frame: usize) -> (usize, usize) {
    let angle = frame as f64 / FRAMES as f64 * std::f64::consts::TAU;
    ((640.0 + 400.0 * angle.cos()) as usize, (400.0 + 200.0 * angle.sin()) as usize)
}
