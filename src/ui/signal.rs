//! How good the connection is, from the figures of the call.

use super::{clock, theme};
use crate::engine::{CallStats, CallView};
use eframe::egui::Color32;

/// Judges the figures as they come.
#[derive(Default)]
pub(super) struct Signal {
    /// Packets that came and that did not, as of the figures seen last.
    seen: (u64, u64),
    /// Share lost in the last interval, 0 to 1.
    loss: f64,
}

impl Signal {
    /// Takes the figures of a new interval in.
    pub(super) fn handle_stats(&mut self, stats: &CallStats) {
        let packets = stats.video_received.packets + stats.audio_received.packets;
        let lost = stats.video_received.lost + stats.audio_received.lost;
        if (packets, lost) == self.seen {
            return;
        }
        let came = packets.saturating_sub(self.seen.0) as f64;
        let missing = lost.saturating_sub(self.seen.1) as f64;
        self.loss = if came + missing > 0.0 { missing / (came + missing) } else { 0.0 };
        self.seen = (packets, lost);
    }

    /// 0 (nothing known) to 4 bars. The steps of the round trip are twice the one-way delays of ITU-T G.114 (150 ms:
    /// most users are content; 400 ms: the limit); those of loss follow from what concealment hides.
    pub(super) fn bars(&self, stats: &CallStats) -> usize {
        let Some(rtt) = stats.rtt_ms else { return 0 };
        if rtt < 150.0 && self.loss < 0.01 {
            4
        } else if rtt < 300.0 && self.loss < 0.03 {
            3
        } else if rtt < 800.0 && self.loss < 0.1 {
            2
        } else {
            1
        }
    }

    /// The figures in words, for the tooltip.
    pub(super) fn details(&self, call: &CallView) -> String {
        let stats = &call.stats;
        let mut lines = vec![match stats.rtt_ms {
            Some(rtt) => format!("Round trip {rtt:.0} ms, {:.1} % lost", self.loss * 100.0),
            None => "No figures yet".to_owned(),
        }];
        if let Some(route) = &stats.route {
            lines.push(format!("Route: {}", route_words(route)));
        }
        let received = &stats.video_received;
        if received.width > 0 {
            lines.push(format!(
                "Picture received: {}×{}, {:.0} a second, {} kbit/s{}",
                received.width,
                received.height,
                received.fps,
                kilobits(received.bitrate),
                codec(received.codec)
            ));
        }
        let sent = &stats.video_sent;
        if sent.width > 0 {
            lines.push(format!(
                "Picture sent: {}×{}, {:.0} a second, {} kbit/s{}",
                sent.width,
                sent.height,
                sent.fps,
                kilobits(sent.bitrate),
                codec(sent.codec)
            ));
        }
        let sound = &stats.audio_received;
        if sound.packets > 0 {
            lines.push(format!(
                "Sound received: {} kbit/s, {:.0} ms buffered",
                kilobits(sound.bitrate),
                sound.buffer_ms
            ));
        }
        if received.freezes > 0 {
            let frozen = std::time::Duration::from_secs_f64(received.freeze_seconds.clamp(0.0, 1e9));
            lines.push(format!("Frozen {} times, {} in all", received.freezes, clock::duration(frozen)));
        }
        lines.join("\n")
    }
}

/// The colour of so many bars.
pub(super) fn color(bars: usize) -> Color32 {
    match bars {
        0 => theme::TEXT_WEAK,
        1 => theme::RED,
        2 => theme::AMBER,
        _ => theme::GREEN,
    }
}

/// What the bars say, for those who do not see them.
pub(super) fn words(bars: usize) -> &'static str {
    match bars {
        0 => "Connection: unknown",
        1 => "Connection: poor",
        2 => "Connection: fair",
        3 => "Connection: good",
        _ => "Connection: excellent",
    }
}

fn route_words(route: &str) -> &str {
    match route {
        "host" => "direct, same network",
        "srflx" | "prflx" => "direct",
        "relay" => "through a relay",
        other => other,
    }
}

fn kilobits(bits: f64) -> u64 {
    (bits / 1000.0).round().max(0.0) as u64
}

fn codec(name: Option<&'static str>) -> String {
    name.map_or_else(String::new, |name| format!(" ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(rtt_ms: Option<f64>, packets: u64, lost: u64) -> CallStats {
        let mut stats = CallStats { rtt_ms, ..CallStats::default() };
        stats.video_received.packets = packets;
        stats.video_received.lost = lost;
        stats
    }

    #[test]
    fn bars_follow_round_trip_and_loss_of_the_last_interval_only() {
        let mut signal = Signal::default();
        assert_eq!(signal.bars(&stats(None, 0, 0)), 0);
        signal.handle_stats(&stats(Some(20.0), 1000, 0));
        assert_eq!(signal.bars(&stats(Some(20.0), 1000, 0)), 4);
        assert_eq!(signal.bars(&stats(Some(200.0), 1000, 0)), 3);
        signal.handle_stats(&stats(Some(20.0), 1080, 20));
        assert_eq!(signal.bars(&stats(Some(20.0), 1080, 20)), 1);
        signal.handle_stats(&stats(Some(20.0), 2080, 20));
        assert_eq!(signal.bars(&stats(Some(20.0), 2080, 20)), 4);
    }
}
