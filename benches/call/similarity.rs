//! How much the picture that arrived is like the one that was sent, in brightness, at the size of the latter: a small
//! picture is enlarged first, as on a screen, so that lost sharpness counts.

use crate::evidence::Picture;

/// Side of the windows in which structure is compared, and the step between them.
const WINDOW: usize = 8;
const STEP: usize = 4;

/// Likeness of two pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Likeness {
    /// Structural similarity, at most 1.
    pub(crate) ssim: f64,
    /// Peak signal-to-noise ratio, dB.
    pub(crate) psnr: f64,
}

/// Compares a picture with what was sent.
pub(crate) fn compare(sent: &Picture, arrived: &Picture) -> Likeness {
    let enlarged = scale(arrived, sent.width, sent.height);
    Likeness { ssim: ssim(sent, &enlarged), psnr: psnr(&sent.luma, &enlarged.luma) }
}

/// Bilinear, the pictures' edges laid on each other.
fn scale(picture: &Picture, width: usize, height: usize) -> Picture {
    if (picture.width, picture.height) == (width, height) {
        return picture.clone();
    }
    // For each target position: two source positions, and the weight of the second in 1/256.
    let taps = |from: usize, to: usize| -> Vec<(usize, usize, u32)> {
        (0..to)
            .map(|at| {
                let source =
                    ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, from as f64 - 1.0);
                let first = source as usize;
                (first, (first + 1).min(from - 1), (source.fract() * 256.0) as u32)
            })
            .collect()
    };
    let (columns, rows) = (taps(picture.width, width), taps(picture.height, height));
    let mut luma = Vec::with_capacity(width * height);
    for (top, bottom, down) in rows {
        let row = |at: usize| &picture.luma[at * picture.width..(at + 1) * picture.width];
        let (top, bottom) = (row(top), row(bottom));
        for &(left, right, across) in &columns {
            let mix = |a: u8, b: u8| u32::from(a) * (256 - across) + u32::from(b) * across;
            let mixed = mix(top[left], top[right]) * (256 - down) + mix(bottom[left], bottom[right]) * down;
            luma.push(((mixed + (1 << 15)) >> 16) as u8);
        }
    }
    Picture { width, height, luma }
}

fn psnr(one: &[u8], other: &[u8]) -> f64 {
    let squares: u64 = one.iter().zip(other).map(|(one, other)| u64::from(one.abs_diff(*other)).pow(2)).sum();
    // Equal pictures differ by half a step somewhere, as it were: a figure, not infinity.
    let mean = (squares as f64 / one.len() as f64).max(0.25 / one.len() as f64);
    10.0 * (255.0_f64.powi(2) / mean).log10()
}

/// Mean structural similarity (Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment", IEEE TIP 2004, equation
/// 13 with its constants) over square windows.
fn ssim(one: &Picture, other: &Picture) -> f64 {
    const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
    const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
    let count = (WINDOW * WINDOW) as f64;
    let (mut sum, mut windows) = (0.0, 0_u64);
    for top in (0..=one.height.saturating_sub(WINDOW)).step_by(STEP) {
        for left in (0..=one.width.saturating_sub(WINDOW)).step_by(STEP) {
            let (mut x, mut y, mut xx, mut yy, mut xy) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
            for row in top..top + WINDOW {
                let at = row * one.width + left;
                for (a, b) in one.luma[at..at + WINDOW].iter().zip(&other.luma[at..at + WINDOW]) {
                    let (a, b) = (u32::from(*a), u32::from(*b));
                    x += a;
                    y += b;
                    xx += a * a;
                    yy += b * b;
                    xy += a * b;
                }
            }
            let (mean_x, mean_y) = (f64::from(x) / count, f64::from(y) / count);
            let variance_x = f64::from(xx) / count - mean_x * mean_x;
            let variance_y = f64::from(yy) / count - mean_y * mean_y;
            let covariance = f64::from(xy) / count - mean_x * mean_y;
            sum += (2.0 * mean_x * mean_y + C1) * (2.0 * covariance + C2)
                / ((mean_x * mean_x + mean_y * mean_y + C1) * (variance_x + variance_y + C2));
            windows += 1;
        }
    }
    sum / windows.max(1) as f64
}
