//! WAV files as microphone and as speaker (RIFF WAVE, Microsoft and IBM 1991).
//!
//! Opened on the `audio-devices` thread, read and written in blocks by the `audio` thread through buffers.

use super::resample::Resampler;
use super::{AudioError, BLOCK, SAMPLE_RATE};
use hound::{SampleFormat, WavSpec};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

/// Rates that make sense, hertz.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
/// Most channels that a file may have.
const MAX_CHANNELS: u16 = 64;
/// Frames read at once.
const FRAMES_AT_ONCE: usize = 1024;
/// Blocks between two updates of the header: 1 s.
const FLUSH_BLOCKS: u32 = 100;

/// A file that plays in a loop: any rate, up to 64 channels (mixed down), 8 to 32 bit integers or 32 bit floats.
pub(crate) struct WavSource {
    reader: hound::WavReader<BufReader<File>>,
    spec: WavSpec,
    resampler: Resampler,
    mono: Vec<f32>,
    converted: Vec<f32>,
    ready: VecDeque<f32>,
}

impl WavSource {
    /// Opens a file and reads its beginning.
    ///
    /// # Errors
    /// The file cannot be read, is no WAV file, or holds no sound.
    pub(crate) fn open(path: &Path) -> Result<Self, AudioError> {
        let wrong = |reason: String| AudioError::File { path: path.to_owned(), reason };
        let reader = hound::WavReader::open(path).map_err(|error| wrong(error.to_string()))?;
        let spec = reader.spec();
        if !RATES.contains(&spec.sample_rate) || !(1..=MAX_CHANNELS).contains(&spec.channels) {
            return Err(wrong(format!(
                "{} Hz with {} channels is no sound",
                spec.sample_rate, spec.channels
            )));
        }
        let resampler = Resampler::new(spec.sample_rate, SAMPLE_RATE);
        let mut source =
            Self { reader, spec, resampler, mono: Vec::new(), converted: Vec::new(), ready: VecDeque::new() };
        source.refill().map_err(|error| wrong(error.to_string()))?;
        if source.mono.is_empty() {
            return Err(wrong("it holds no sound".into()));
        }
        Ok(source)
    }

    /// The next 10 ms.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub(crate) fn read(&mut self, block: &mut [f32; BLOCK]) -> Result<(), hound::Error> {
        while self.ready.len() < BLOCK {
            self.refill()?;
            if self.mono.is_empty() {
                self.reader.seek(0)?;
                self.refill()?;
                if self.mono.is_empty() {
                    return Err(hound::Error::FormatError("it holds no sound any more"));
                }
            }
        }
        for (out, sample) in block.iter_mut().zip(self.ready.drain(..BLOCK)) {
            *out = sample;
        }
        Ok(())
    }

    /// Reads some frames on. A file that breaks off ends there.
    fn refill(&mut self) -> Result<(), hound::Error> {
        let channels = usize::from(self.spec.channels);
        self.mono.clear();
        let wanted = FRAMES_AT_ONCE * channels;
        let samples: Vec<f32> = match self.spec.sample_format {
            SampleFormat::Float => until_end(self.reader.samples::<f32>().take(wanted))?,
            SampleFormat::Int => {
                let scale = 1.0 / (1i64 << (self.spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
                until_end(self.reader.samples::<i32>().take(wanted).map(|s| s.map(|s| s as f32 * scale)))?
            }
        };
        let sane = |sample: &f32| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        self.mono.extend(
            samples.chunks_exact(channels).map(|frame| frame.iter().map(sane).sum::<f32>() / channels as f32),
        );
        self.converted.clear();
        self.resampler.process(&self.mono, &mut self.converted);
        self.ready.extend(&self.converted);
        Ok(())
    }
}

/// The samples up to the end, which a broken-off file has too early.
fn until_end(samples: impl Iterator<Item = hound::Result<f32>>) -> Result<Vec<f32>, hound::Error> {
    let mut collected = Vec::new();
    for sample in samples {
        match sample {
            Ok(sample) => collected.push(sample),
            // hound reports the missing rest of a file as a failed read.
            Err(hound::Error::IoError(error)) if error.kind() != std::io::ErrorKind::PermissionDenied => {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(collected)
}

/// A file that takes what a speaker would play: 48 kHz, mono, 16 bit. Its header is renewed once a second, so that it
/// can be read whatever ends the program.
pub(crate) struct WavSink {
    writer: hound::WavWriter<BufWriter<File>>,
    unflushed: u32,
}

impl WavSink {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn create(path: &Path) -> Result<Self, AudioError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        hound::WavWriter::create(path, spec)
            .and_then(|mut writer| {
                writer.flush()?;
                Ok(Self { writer, unflushed: 0 })
            })
            .map_err(|error| AudioError::File { path: path.to_owned(), reason: error.to_string() })
    }

    /// Appends 10 ms.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub(crate) fn write(&mut self, block: &[f32]) -> Result<(), hound::Error> {
        for sample in block {
            self.writer.write_sample((sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16)?;
        }
        self.unflushed += 1;
        if self.unflushed >= FLUSH_BLOCKS {
            self.unflushed = 0;
            self.writer.flush()?;
        }
        Ok(())
    }

    /// Completes the file.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub(crate) fn finish(self) -> Result<(), hound::Error> {
        self.writer.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16, sample_format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate, bits_per_sample, sample_format }
    }

    fn write_tone(path: &Path, spec: WavSpec, frames: u32) {
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for i in 0..frames {
            let value = (f64::from(i) * 440.0 * std::f64::consts::TAU / f64::from(spec.sample_rate)).sin()
                as f32
                * 0.5;
            for _ in 0..spec.channels {
                match spec.sample_format {
                    SampleFormat::Float => writer.write_sample(value).unwrap(),
                    SampleFormat::Int => {
                        let full = (1i64 << (spec.bits_per_sample - 1)) as f32 - 1.0;
                        writer.write_sample((value * full) as i32).unwrap();
                    }
                }
            }
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn every_usual_format_gives_the_same_tone_looped() {
        let folder = tempfile::tempdir().unwrap();
        for (n, spec) in [
            spec(1, 48_000, 16, SampleFormat::Int),
            spec(2, 44_100, 16, SampleFormat::Int),
            spec(2, 48_000, 24, SampleFormat::Int),
            spec(1, 16_000, 32, SampleFormat::Int),
            spec(6, 96_000, 32, SampleFormat::Float),
            spec(1, 8_000, 8, SampleFormat::Int),
        ]
        .into_iter()
        .enumerate()
        {
            let path = folder.path().join(format!("{n}.wav"));
            // 0.5 s: the second second comes from the loop.
            write_tone(&path, spec, spec.sample_rate / 2);
            let mut source = WavSource::open(&path).unwrap();
            let (mut block, mut samples) = ([0.0; BLOCK], Vec::new());
            for _ in 0..200 {
                source.read(&mut block).unwrap();
                samples.extend(block);
            }
            let rms = (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt();
            assert!((rms / 0.353_55 - 1.0).abs() < 0.02, "{spec:?}: {rms}");
            let rising = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
            assert!((860..=900).contains(&rising), "{spec:?}: {rising} periods in 2 s");
        }
    }

    #[test]
    fn a_file_that_breaks_off_plays_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.wav");
        write_tone(&path, spec(1, 48_000, 16, SampleFormat::Int), 48_000);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..20_001]).unwrap();
        let mut source = WavSource::open(&path).unwrap();
        let mut block = [0.0; BLOCK];
        for _ in 0..100 {
            source.read(&mut block).unwrap();
        }
        assert!(block.iter().any(|sample| *sample != 0.0));
    }

    #[test]
    fn what_is_no_sound_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wav");
        assert!(WavSource::open(&path).is_err());
        std::fs::write(&path, b"RIFF\0\0\0\0WAVEjunk").unwrap();
        assert!(WavSource::open(&path).is_err());
        write_tone(&path, spec(1, 48_000, 16, SampleFormat::Int), 0);
        let error = WavSource::open(&path).err().unwrap().to_string();
        assert!(error.contains("x.wav") && error.contains("no sound"), "{error}");
        assert!(WavSink::create(&folder.path().join("missing/x.wav")).is_err());
    }

    #[test]
    fn the_speaker_file_can_be_read_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.wav");
        let mut sink = WavSink::create(&path).unwrap();
        assert_eq!(hound::WavReader::open(&path).unwrap().len(), 0);
        for _ in 0..250 {
            sink.write(&[0.25; BLOCK]).unwrap();
        }
        // Not finished: as if the program had been killed.
        let mut reader = hound::WavReader::open(&path).unwrap();
        assert_eq!(reader.len() as usize, 200 * BLOCK);
        assert!(reader.samples::<i16>().all(|sample| sample.unwrap() == 8192));
        sink.finish().unwrap();
        assert_eq!(hound::WavReader::open(&path).unwrap().len() as usize, 250 * BLOCK);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_damaged_file_never_panics(
            damage in prop::collection::vec((0usize..400, any::<u8>()), 1..12), keep in 0usize..3000
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.wav");
            write_tone(&path, spec(2, 44_100, 24, SampleFormat::Int), 400);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(keep.max(12));
            for (at, value) in damage {
                if let Some(byte) = bytes.get_mut(at % 80) {
                    *byte = value;
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(mut source) = WavSource::open(&path) {
                let mut block = [0.0; BLOCK];
                for _ in 0..5 {
                    if source.read(&mut block).is_err() {
                        break;
                    }
                    prop_assert!(block.iter().all(|sample| sample.is_finite()));
                }
            }
        }
    }
}
