//! Conversion between sample rates by a windowed-sinc filter (Smith, "Digital Audio Resampling", CCRMA).
//!
//! Driven by the `audio` thread, between a device or a file of another rate and the 48 kHz inside. Linear phase;
//! delays by [`ZERO_CROSSINGS`] samples of the lower rate.

use std::f64::consts::PI;

/// Zero crossings of the sinc on either side: the steepness of the filter.
const ZERO_CROSSINGS: usize = 32;
/// Shape of the Kaiser window: 90 dB of stop-band attenuation (Kaiser 1974: beta = 0.1102 (A - 8.7)).
const KAISER_BETA: f64 = 8.96;
/// Pass band, as a share of the lower rate's half.
const PASS_BAND: f64 = 0.92;
/// Filters held; ratios that need more are interpolated between neighbours (error below -100 dB at 512).
const MAX_PHASES: u64 = 512;

/// Steps between two samples of clocks that are nearly alike: a thousandth of a millionth is told apart.
const CLOCK_STEPS: u64 = 1_000_000_000;

/// A converter for one mono stream.
pub(crate) struct Resampler {
    from: u64,
    to: u64,
    /// Samples before the point, and after it, that a filter spans.
    half: usize,
    phases: u64,
    /// `phases + 1` filters of `2 * half` coefficients.
    filters: Vec<f32>,
    /// Input not yet done with.
    history: Vec<f32>,
    /// Position of the next output: whole samples in `history`, and the rest in `1 / to` samples.
    index: usize,
    fraction: u64,
}

impl Resampler {
    /// A converter between two rates in hertz; zero counts as one.
    pub(crate) fn new(from_hertz: u32, to_hertz: u32) -> Self {
        let (from, to) = (u64::from(from_hertz.max(1)), u64::from(to_hertz.max(1)));
        let divisor = greatest_common_divisor(from, to);
        let (from, to) = (from / divisor, to / divisor);
        let cutoff = (to as f64 / from as f64).min(1.0);
        let half = (ZERO_CROSSINGS as f64 / cutoff).ceil() as usize;
        let phases = to.min(MAX_PHASES);
        let filters = if from == to { Vec::new() } else { design(half, phases, cutoff * PASS_BAND) };
        Self { from, to, half, phases, filters, history: vec![0.0; half - 1], index: half - 1, fraction: 0 }
    }

    /// A converter between two clocks that are nearly alike; see [`Resampler::set_ppm`].
    pub(crate) fn between_clocks() -> Self {
        let half = ZERO_CROSSINGS;
        let filters = design(half, MAX_PHASES, PASS_BAND);
        let (from, to, phases) = (CLOCK_STEPS, CLOCK_STEPS, MAX_PHASES);
        Self { from, to, half, phases, filters, history: vec![0.0; half - 1], index: half - 1, fraction: 0 }
    }

    /// From now on the input's clock is by so many millionths faster than the output's: so much less comes out.
    /// Only of a converter made by [`Resampler::between_clocks`].
    pub(crate) fn set_ppm(&mut self, ppm: f64) {
        self.from = CLOCK_STEPS.saturating_add_signed((ppm * CLOCK_STEPS as f64 / 1e6).round() as i64);
    }

    /// Takes `input` and appends what can be said of it to `out`.
    pub(crate) fn process(&mut self, input: &[f32], out: &mut Vec<f32>) {
        if self.filters.is_empty() {
            out.extend_from_slice(input);
            return;
        }
        self.history.extend_from_slice(input);
        while self.index + self.half < self.history.len() {
            let scaled = self.fraction * self.phases;
            let (phase, rest) = (scaled / self.to, scaled % self.to);
            let window = &self.history[self.index + 1 - self.half..][..2 * self.half];
            let mut sample = self.convolve(phase, window);
            if rest != 0 {
                let weight = rest as f32 / self.to as f32;
                sample += (self.convolve(phase + 1, window) - sample) * weight;
            }
            out.push(sample);
            self.fraction += self.from;
            self.index += (self.fraction / self.to) as usize;
            self.fraction %= self.to;
        }
        let done = (self.index + 1 - self.half).min(self.history.len());
        self.history.drain(..done);
        self.index -= done;
    }

    fn convolve(&self, phase: u64, window: &[f32]) -> f32 {
        let filter = &self.filters[phase as usize * 2 * self.half..][..2 * self.half];
        filter.iter().zip(window).map(|(a, b)| a * b).sum()
    }
}

fn design(half: usize, phases: u64, cutoff: f64) -> Vec<f32> {
    let mut filters = Vec::with_capacity((phases as usize + 1) * 2 * half);
    for phase in 0..=phases {
        let shift = phase as f64 / phases as f64;
        let taps: Vec<f64> = (0..2 * half)
            .map(|k| {
                let x = k as f64 - (half as f64 - 1.0) - shift;
                let window = bessel_i0(KAISER_BETA * (1.0 - (x / half as f64).powi(2)).max(0.0).sqrt());
                let sinc = if x == 0.0 { 1.0 } else { (PI * cutoff * x).sin() / (PI * cutoff * x) };
                sinc * window
            })
            .collect();
        // Every phase passes a constant unchanged: no hum at the rate of the phases.
        let sum: f64 = taps.iter().sum();
        filters.extend(taps.iter().map(|tap| (tap / sum) as f32));
    }
    filters
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, quarter) = (1.0, 1.0, x * x / 4.0);
    let mut n = 1.0;
    while term > sum * 1e-12 {
        term *= quarter / (n * n);
        sum += term;
        n += 1.0;
    }
    sum
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Signal-to-noise ratio of a 1 kHz sine after conversion, by the least-squares fit of a sine of that frequency.
    fn sine_snr_db(from: u32, to: u32, hertz: f64, chunk: usize) -> f64 {
        let input: Vec<f32> = (0..from as usize)
            .map(|i| (i as f64 * hertz * 2.0 * PI / f64::from(from)).sin() as f32 * 0.5)
            .collect();
        let (mut resampler, mut out) = (Resampler::new(from, to), Vec::new());
        for piece in input.chunks(chunk) {
            resampler.process(piece, &mut out);
        }
        let delay = ZERO_CROSSINGS as f64 * (f64::from(to) / f64::from(from)).max(1.0);
        assert!((out.len() as f64 - f64::from(to)).abs() <= delay + 1.0, "{} of {to}", out.len());
        let out = &out[1000..out.len() - 1000];
        let basis = |i: usize| (i as f64 * hertz * 2.0 * PI / f64::from(to)).sin_cos();
        let (mut ss, mut cc, mut sc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (i, x) in out.iter().enumerate() {
            let (s, c) = basis(i);
            ss += s * s;
            cc += c * c;
            sc += s * c;
            xs += f64::from(*x) * s;
            xc += f64::from(*x) * c;
        }
        let determinant = ss * cc - sc * sc;
        let (a, b) = ((xs * cc - xc * sc) / determinant, (xc * ss - xs * sc) / determinant);
        let (mut signal, mut noise) = (0.0, 0.0);
        for (i, x) in out.iter().enumerate() {
            let (s, c) = basis(i);
            let fit = a * s + b * c;
            signal += fit * fit;
            noise += (f64::from(*x) - fit).powi(2);
        }
        assert!((a.hypot(b) - 0.5).abs() < 0.005, "level {}", a.hypot(b));
        10.0 * (signal / noise).log10()
    }

    #[test]
    fn a_sine_keeps_its_level_and_stays_clean_between_common_rates() {
        for (from, to) in
            [(44_100, 48_000), (48_000, 44_100), (16_000, 48_000), (48_000, 96_000), (8_000, 48_000)]
        {
            let snr = sine_snr_db(from, to, 1000.0, 441);
            assert!(snr > 80.0, "{from} to {to}: {snr:.1} dB");
        }
    }

    #[test]
    fn an_odd_rate_and_odd_pieces_stay_clean_too() {
        let snr = sine_snr_db(44_099, 48_000, 3000.0, 24);
        assert!(snr > 70.0, "{snr:.1} dB");
    }

    #[test]
    fn clocks_that_differ_a_little_are_brought_together_without_a_seam() {
        let mut resampler = Resampler::between_clocks();
        let (mut out, mut given) = (Vec::new(), 0u64);
        let mut give = |resampler: &mut Resampler, seconds: usize, hertz: f64| {
            for _ in 0..seconds * 100 {
                let piece: Vec<f32> = (0..480)
                    .map(|i| ((given + i) as f64 * hertz * 2.0 * PI / 48_000.0).sin() as f32)
                    .collect();
                given += 480;
                resampler.process(&piece, &mut out);
            }
        };
        give(&mut resampler, 10, 1000.0);
        resampler.set_ppm(200.0);
        give(&mut resampler, 100, 1000.0);
        // 200 ppm of 100 s are 960 samples.
        let fewer = 110 * 48_000 - out.len() as i64;
        assert!((955..=1000).contains(&fewer), "{fewer}");
        // Past the beginning, where sound out of nothing is steep by itself.
        let steepest = out[200..].windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.132, "{steepest}");
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_removed_not_folded_back() {
        let input: Vec<f32> =
            (0..48_000).map(|i| (i as f64 * 15_000.0 * 2.0 * PI / 48_000.0).sin() as f32).collect();
        let mut out = Vec::new();
        Resampler::new(48_000, 16_000).process(&input, &mut out);
        let loudest = out[200..out.len() - 200].iter().fold(0.0f32, |m, s| m.max(s.abs()));
        assert!(loudest < 1e-3, "{loudest}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_rates_and_pieces_give_the_right_amount(
            from in 1000u32..200_000, to in 1000u32..200_000, pieces in prop::collection::vec(0usize..3000, 1..20)
        ) {
            let (mut resampler, mut out, mut given) = (Resampler::new(from, to), Vec::new(), 0u64);
            for piece in pieces {
                resampler.process(&vec![0.1; piece], &mut out);
                given += piece as u64;
            }
            let expected = given as f64 * f64::from(to) / f64::from(from);
            let slack = 2.0 + 2.0 * ZERO_CROSSINGS as f64 * (f64::from(to) / f64::from(from)).max(1.0);
            prop_assert!((out.len() as f64 - expected).abs() <= slack, "{} for {}", out.len(), expected);
            prop_assert!(resampler.history.len() < 4 * resampler.half + 3000);
        }
    }
}
