//! A recording that knows when it began: two of them, made by sound servers with clocks of their own, can be laid side
//! by side.

use super::process::Guarded;
use super::pulse::RATE;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Read at once.
const PIECE: usize = 4096;
/// Octets of a sample.
const DEPTH: usize = 2;

const FORMAT: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: RATE,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};

/// Takes down what a recording process gives: see [`super::pulse::Pulse::record_stream`].
pub(crate) struct Recorder {
    process: Guarded,
    runs: Receiver<()>,
    writer: JoinHandle<(Vec<u8>, Instant)>,
    channels: usize,
}

/// What was recorded.
pub(crate) struct Recording {
    /// A WAV file of 16 bits for each channel.
    pub(crate) channels: Vec<PathBuf>,
    /// When the first sample was there. Sound arrives late, never early, so that of all the times that the arrivals
    /// speak for the earliest is the best: two recordings of one source agreed within 0.1 ms.
    pub(crate) began: Instant,
}

impl Recorder {
    pub(crate) fn start(mut process: Guarded, channels: usize) -> Self {
        let mut source = process.stdout.take().unwrap();
        // Told once; there is room for it.
        let (tell, runs) = sync_channel(1);
        let writer = move || take_down(&mut source, channels, &tell);
        let writer = Builder::new().name("recorder".into()).spawn(writer).unwrap();
        Self { process, runs, writer, channels }
    }

    /// Returns when sound arrives.
    pub(crate) fn wait_running(&self, patience: Duration) {
        self.runs.recv_timeout(patience).expect("the recording runs");
    }

    /// Ends it, and leaves its files in a folder, by names that begin with that one.
    pub(crate) fn finish(mut self, patience: Duration, folder: &Path, name: &str) -> Recording {
        assert!(self.process.terminate(patience).is_some(), "the recorder does not end");
        let (octets, began) = self.writer.join().unwrap();
        let save = |channel: usize| {
            let file = folder.join(format!("{name}-{channel}.wav"));
            let mut wav = hound::WavWriter::create(&file, FORMAT).unwrap();
            // The process may have been ended within a frame.
            for frame in octets.chunks_exact(DEPTH * self.channels) {
                let at = DEPTH * channel;
                wav.write_sample(i16::from_le_bytes([frame[at], frame[at + 1]])).unwrap();
            }
            wav.finalize().unwrap();
            file
        };
        Recording { channels: (0..self.channels).map(save).collect(), began }
    }
}

fn take_down(source: &mut impl Read, channels: usize, tell: &SyncSender<()>) -> (Vec<u8>, Instant) {
    let (mut octets, mut piece, mut began) = (Vec::new(), [0; PIECE], None);
    while let Ok(count @ 1..) = source.read(&mut piece) {
        octets.extend_from_slice(&piece[..count]);
        let length = (octets.len() / DEPTH / channels) as f64 / f64::from(RATE);
        let spoken_for = Instant::now() - Duration::from_secs_f64(length);
        if began.replace(began.map_or(spoken_for, |began: Instant| began.min(spoken_for))).is_none() {
            tell.try_send(()).ok();
        }
    }
    (octets, began.unwrap_or_else(Instant::now))
}
