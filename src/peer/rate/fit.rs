//! Which of two stories the losses tell: a path that loses a share of whatever we send, or one that carries so much and
//! drops the rest.
//!
//! The idea is that of libwebrtc's `LossBasedBweV2`: the share of packets lost at sending rate `r` over a path of
//! bandwidth `b` and inherent loss `i` is `i + (1 − i) · max(0, 1 − b / r)`; for each candidate `b` the `i` that
//! explains best what was observed is sought, and the best candidate wins by likelihood. Two things differ. A bandwidth
//! is only believed in if it explains the losses clearly better than no bandwidth does (a likelihood ratio test), and
//! the likelihood is divided by the dispersion of the observations, so that losses in bursts are not taken for more
//! evidence than they are (quasi-likelihood: McCullagh and Nelder, Generalized Linear Models, section 4.5).

/// Least and most of the loss that is believed to be the path's own.
const MIN_INHERENT: f64 = 0.001;
const MAX_INHERENT: f64 = 0.30;
/// Steps of the search for the inherent loss: golden sections of its range, to about 0.1 percent points.
const STEPS: usize = 13;
/// Evidence halves about every 14 observations (libwebrtc, which needs no test against chance: every 7).
const AGEING: f64 = 0.95;
/// Gain in log-likelihood from which on a bandwidth is believed in. Four are exceeded by chance once in two hundred
/// times (half of a chi-squared variable of one degree).
const EVIDENCE: f64 = 4.0;
/// Observations that are needed to judge their dispersion.
const FEW: usize = 5;

/// What happened to the packets of a quarter of a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Observation {
    /// Rate at which they were sent, bits per second.
    pub(super) sent_bits_per_second: f64,
    pub(super) packets: f64,
    pub(super) lost: f64,
}

/// The story.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Story {
    /// What the path carries, bits per second, if that is why packets are lost.
    pub(super) bandwidth: Option<f64>,
    /// Share that it loses in any case.
    pub(super) inherent: f64,
}

/// The best story for these observations, oldest first, with one of these bandwidths or none.
pub(super) fn explain(observations: &[Observation], candidates: &[f64]) -> Story {
    let (inherent, unlimited) = fit(observations, f64::INFINITY);
    let best = candidates
        .iter()
        .map(|bandwidth| {
            let (inherent, likelihood) = fit(observations, *bandwidth);
            (*bandwidth, inherent, likelihood)
        })
        .max_by(|one, other| one.2.total_cmp(&other.2));
    if let Some((bandwidth, with, limited)) = best {
        let gain = (limited - unlimited) / dispersion(observations, bandwidth, with);
        if gain > EVIDENCE {
            return Story { bandwidth: Some(bandwidth), inherent: with };
        }
    }
    Story { bandwidth: None, inherent }
}

/// Probability that a packet is lost.
fn loss(sent: f64, bandwidth: f64, inherent: f64) -> f64 {
    let surplus = if sent > bandwidth { 1.0 - bandwidth / sent } else { 0.0 };
    (inherent + (1.0 - inherent) * surplus).clamp(MIN_INHERENT, 1.0 - MIN_INHERENT)
}

fn likelihood(observations: &[Observation], bandwidth: f64, inherent: f64) -> f64 {
    observations
        .iter()
        .rev()
        .scan(1.0, |weight, observation| {
            let present = *weight;
            *weight *= AGEING;
            Some((present, observation))
        })
        .map(|(weight, observation)| {
            let p = loss(observation.sent_bits_per_second, bandwidth, inherent);
            let received = observation.packets - observation.lost;
            weight * (observation.lost * p.ln() + received * (1.0 - p).ln())
        })
        .sum()
}

/// The inherent loss that explains the observations best with this bandwidth, and how well. The likelihood has one
/// summit, so golden sections find it.
fn fit(observations: &[Observation], bandwidth: f64) -> (f64, f64) {
    const SECTION: f64 = 0.618_034;
    let (mut low, mut high) = (MIN_INHERENT, MAX_INHERENT);
    let at = |inherent| likelihood(observations, bandwidth, inherent);
    let (mut left, mut right) = (high - SECTION * (high - low), low + SECTION * (high - low));
    let (mut of_left, mut of_right) = (at(left), at(right));
    for _ in 0..STEPS {
        if of_left > of_right {
            (high, right, of_right) = (right, left, of_left);
            left = high - SECTION * (high - low);
            of_left = at(left);
        } else {
            (low, left, of_left) = (left, right, of_right);
            right = low + SECTION * (high - low);
            of_right = at(right);
        }
    }
    let middle = (low + high) / 2.0;
    // The summit may lie at the lower end, which the sections only approach.
    let (of_middle, of_least) = (at(middle), at(MIN_INHERENT));
    if of_least > of_middle { (MIN_INHERENT, of_least) } else { (middle, of_middle) }
}

/// Pearson's statistic over its degrees of freedom: 1 for independent losses, more for bursts.
fn dispersion(observations: &[Observation], bandwidth: f64, inherent: f64) -> f64 {
    if observations.len() < FEW {
        return 1.0;
    }
    let sum: f64 = observations
        .iter()
        .map(|observation| {
            let p = loss(observation.sent_bits_per_second, bandwidth, inherent);
            let difference = observation.lost - observation.packets * p;
            difference * difference / (observation.packets * p * (1.0 - p))
        })
        .sum();
    (sum / (observations.len() - 2) as f64).max(1.0)
}
