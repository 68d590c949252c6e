//! How coarse the last pictures were, whatever the codec; the ladder asks.

/// Weight of the newest picture in the mean.
const WEIGHT: f64 = 0.15;

/// Mean of the last quantizers of H.264, or of those that are as coarse; keyframes left out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coarseness(Option<f64>);

impl Coarseness {
    /// A picture was made with this quantizer.
    pub(crate) fn add(&mut self, quantizer: f64) {
        self.0 = Some(self.0.map_or(quantizer, |mean| mean + WEIGHT * (quantizer - mean)));
    }

    /// `None` before there was one.
    pub(crate) fn mean(self) -> Option<f64> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pictures_weigh_most() {
        let mut coarseness = Coarseness::default();
        assert_eq!(coarseness.mean(), None);
        coarseness.add(20.0);
        assert_eq!(coarseness.mean(), Some(20.0));
        (0..30).for_each(|_| coarseness.add(40.0));
        assert!(coarseness.mean().is_some_and(|mean| (39.0..40.0).contains(&mean)));
    }
}
