//! Verification words: seven short words that both sides can read to each other.
//!
//! They are drawn from the fingerprints of both DTLS certificates (RFC 8122 section 5, RFC 8827 section 5.6.4).
//! Somebody who sits in the middle and decrypts the call has to present certificates of its own, and then the words
//! differ. Seven words of 128 are 49 bits: out of reach of a guess made while the call is being set up.

/// Words read aloud.
const WORDS_SHOWN: usize = 7;
/// Bits that choose one word.
const BITS: usize = 7;

/// Short, common, and unlike each other in sound.
const WORDS: [&str; 1 << BITS] = [
    "acorn", "album", "amber", "anchor", "apple", "arrow", "autumn", "bacon", "badge", "banjo", "basil",
    "beach", "berry", "bird", "bishop", "blanket", "border", "bottle", "branch", "bread", "bridge", "bronze",
    "bucket", "butter", "cabin", "camel", "candle", "canyon", "carpet", "castle", "cedar", "cherry",
    "circus", "clover", "cobra", "coffee", "comet", "copper", "coral", "cotton", "cradle", "crystal",
    "daisy", "desert", "diamond", "dolphin", "dragon", "eagle", "easel", "ember", "engine", "falcon",
    "feather", "fiddle", "flame", "forest", "fossil", "galaxy", "garden", "ginger", "glacier", "goblin",
    "granite", "guitar", "hammer", "harbor", "hazel", "helmet", "honey", "igloo", "island", "ivory",
    "jacket", "jelly", "jungle", "kettle", "kitten", "ladder", "lagoon", "lantern", "lemon", "lizard",
    "magnet", "mango", "marble", "meadow", "melon", "mirror", "mountain", "needle", "nickel", "nutmeg",
    "ocean", "olive", "onion", "orchid", "otter", "paddle", "panther", "parrot", "pebble", "pepper", "piano",
    "pigeon", "pillow", "planet", "pocket", "prairie", "pumpkin", "puzzle", "quartz", "rabbit", "ribbon",
    "river", "rocket", "saddle", "salmon", "shadow", "silver", "spider", "sunset", "temple", "thunder",
    "tiger", "trumpet", "tulip", "velvet", "window",
];

/// The words for a digest over both fingerprints.
pub(super) fn words(digest: &[u8; 32]) -> String {
    let bits = digest.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let words: Vec<&str> =
        (0..WORDS_SHOWN).map(|n| WORDS[(bits >> (n * BITS)) as usize & (WORDS.len() - 1)]).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_list_has_no_word_twice() {
        assert_eq!(WORDS.iter().collect::<HashSet<_>>().len(), WORDS.len());
    }

    #[test]
    fn equal_digests_give_equal_words_and_a_flipped_bit_shows() {
        let digest = [7; 32];
        let mut other = digest;
        other[31] ^= 1;
        assert_eq!(words(&digest), words(&digest));
        assert_ne!(words(&digest), words(&other));
        assert_eq!(words(&digest).split(' ').count(), WORDS_SHOWN);
    }
}
