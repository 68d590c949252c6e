//! What an engine is started with: the settings that last, and what holds for this run alone.

use crate::config::Settings;
use crate::media::ports::VideoCodec;
use std::path::PathBuf;
use std::time::Duration;

/// Highest send rate by default, bits per second: 720p30 at up to 2 Mbit/s, and room for sound and repairs.
const DEFAULT_MAX_BITS_PER_SECOND: u32 = 2_500_000;
/// The same where the camera gives 1080p: twice the pixels need not quite twice the bits.
const FULL_HD_MAX_BITS_PER_SECOND: u32 = 4_500_000;

/// Everything that an engine needs to know at its start.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The settings in force.
    pub settings: Settings,
    /// The settings as they are kept, without what the command line says for this run.
    pub stored: Settings,
    /// Where changed settings are kept; `None` keeps them for this run only.
    pub settings_file: Option<PathBuf>,
    /// What was wrong with the settings file, to be shown as a notice.
    pub complaint: Option<String>,
    /// Writes what the other side sends to this Y4M file.
    pub record_video: Option<PathBuf>,
    /// Highest send rate, bits per second; `None`: as the camera's picture needs.
    pub max_bits_per_second: Option<u32>,
    /// Codecs to offer, best first.
    pub video_codecs: Vec<VideoCodec>,
    /// How often the figures of a call are renewed.
    pub stats_interval: Duration,
    /// Convert pictures for a window. Off for a participant without one: it would be work for nobody.
    pub pictures: bool,
    /// Look for cameras, microphones and speakers to choose from.
    pub list_devices: bool,
    /// Ring, and let the user test speaker and microphone.
    pub rings: bool,
    /// Run the signaling server inside this program if none answers on this machine and none is named.
    pub may_host: bool,
}

impl EngineOptions {
    /// Highest send rate of a call that begins with these settings, bits per second.
    pub(super) fn max_bits_per_second(&self, settings: &Settings) -> u32 {
        let usual = if settings.full_hd { FULL_HD_MAX_BITS_PER_SECOND } else { DEFAULT_MAX_BITS_PER_SECOND };
        self.max_bits_per_second.unwrap_or(usual)
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            stored: Settings::default(),
            settings_file: None,
            complaint: None,
            record_video: None,
            max_bits_per_second: None,
            video_codecs: vec![VideoCodec::H264, VideoCodec::Vp8],
            stats_interval: Duration::from_secs(1),
            pictures: false,
            list_devices: false,
            rings: false,
            may_host: true,
        }
    }
}
