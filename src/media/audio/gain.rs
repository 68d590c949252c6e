//! A factor on sound that changes without a click. Driven by whoever holds the block.

/// Multiplies the block with a factor that goes from one to the other on a slope.
pub(crate) fn slope(block: &mut [f32], from: f32, to: f32) {
    let step = (to - from) / block.len().max(1) as f32;
    if step != 0.0 {
        block.iter_mut().enumerate().for_each(|(index, sample)| *sample *= from + step * (index + 1) as f32);
    } else if to != 1.0 {
        block.iter_mut().for_each(|sample| *sample *= to);
    }
}

#[cfg(test)]
mod tests {
    use super::super::BLOCK;
    use super::*;

    #[test]
    fn a_change_is_gradual_and_what_follows_is_steady() {
        let mut block = [1.0; BLOCK];
        slope(&mut block, 1.0, 0.0);
        assert!(block.windows(2).all(|pair| pair[0] > pair[1]));
        assert!(block[0] > 0.99 && block[BLOCK - 1].abs() < 1e-6);
        let mut block = [1.0; BLOCK];
        slope(&mut block, 0.0, 0.0);
        assert_eq!(block, [0.0; BLOCK]);
    }
}
