//! The recorder's thread: pictures into a Y4M file, as they come. The file has the size of the first picture; later
//! ones of another size are scaled to it.

use super::frame::{Frame, Size};
use super::latest::{Latest, Next};
use super::scale::scale;
use super::worker::{Stop, Worker};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How often the stop signal is looked at while no picture comes.
const STOP_POLL: Duration = Duration::from_millis(100);
/// What the header says. Pictures are written as they come; the file does not know their true times.
const FPS: u32 = 30;

/// Why nothing is recorded.
#[derive(Debug, Error)]
pub enum VideoRecorderError {
    /// The file.
    #[error("cannot write the recording {path}: {source}")]
    File {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// No thread.
    #[error("the system grants no thread for the recording: {0}")]
    Thread(#[source] std::io::Error),
}

/// The running recorder. Dropping it completes the file.
pub struct VideoRecorder(Worker);

impl VideoRecorder {
    /// Creates the file anew and starts the thread `video-recorder`, which ends when stopped or when `frames` is
    /// closed. A full disk ends it too, and is logged.
    ///
    /// # Errors
    /// If the file cannot be created, or the operating system grants no thread.
    pub fn start(frames: &Latest<Arc<Frame>>, path: &Path) -> Result<Self, VideoRecorderError> {
        let name = path.display().to_string();
        let file =
            File::create(path).map_err(|source| VideoRecorderError::File { path: name.clone(), source })?;
        let mut reader = frames.reader();
        let body = move |stop: &Stop| {
            let mut writer = Y4mWriter::new(BufWriter::with_capacity(1 << 20, file));
            let mut result = Ok(());
            while !stop.is_set() && result.is_ok() {
                match reader.wait(STOP_POLL) {
                    Next::Value(frame) => result = writer.write(&frame),
                    Next::Timeout => {}
                    Next::Closed => break,
                }
            }
            if let Err(error) = result.and_then(|()| writer.output.flush()) {
                tracing::error!(%error, file = name, "the recording broke off");
            }
        };
        Worker::start("video-recorder", body).map(Self).map_err(VideoRecorderError::Thread)
    }

    /// Tells the thread to end, without waiting.
    pub fn signal(&self) {
        self.0.signal();
    }

    /// Completes the file and waits for it, at most [`super::worker::JOIN_LIMIT`].
    pub fn stop(self) {}
}

/// Writes one picture to a file, in its own size.
///
/// # Errors
/// If the file cannot be written.
pub fn save_picture(picture: &Frame, path: &Path) -> Result<(), VideoRecorderError> {
    let write = || {
        let mut writer = Y4mWriter::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
        writer.write(picture).and_then(|()| writer.output.flush())
    };
    write().map_err(|source| VideoRecorderError::File { path: path.display().to_string(), source })
}

struct Y4mWriter<W> {
    output: W,
    /// The file's size, and a picture of it to scale into.
    target: Option<(Size, Frame)>,
}

impl<W: Write> Y4mWriter<W> {
    fn new(output: W) -> Self {
        Self { output, target: None }
    }

    fn write(&mut self, frame: &Frame) -> std::io::Result<()> {
        let size = frame.size();
        if self.target.is_none() {
            writeln!(self.output, "YUV4MPEG2 W{} H{} F{FPS}:1 Ip A1:1 C420jpeg", size.width, size.height)?;
        }
        let (target, scaled) = self.target.get_or_insert_with(|| (size, Frame::black(size, Instant::now())));
        self.output.write_all(b"FRAME\n")?;
        if *target == size {
            return self.output.write_all(frame.data());
        }
        scale(frame, scaled);
        self.output.write_all(scaled.data())
    }
}

#[cfg(test)]
mod tests {
    use super::super::y4m::Y4mReader;
    use super::*;
    use std::io::Cursor;

    #[test]
    fn what_is_written_can_be_read_and_other_sizes_are_scaled() {
        let mut writer = Y4mWriter::new(Vec::new());
        let size = Size::new(6, 4);
        let grey = |size, value| Frame::from_i420(size, vec![value; Frame::bytes(size)], Instant::now());
        writer.write(&grey(size, 10).unwrap()).unwrap();
        writer.write(&grey(Size::new(64, 48), 20).unwrap()).unwrap();
        let mut reader = Y4mReader::new(Cursor::new(writer.output)).unwrap();
        assert_eq!(reader.size(), size);
        let mut data = vec![0; Frame::bytes(size)];
        for value in [10, 20] {
            assert!(reader.read(&mut data).unwrap());
            assert!(data.iter().all(|&sample| sample.abs_diff(value) <= 1));
        }
        assert!(!reader.read(&mut data).unwrap());
    }

    #[test]
    fn a_single_picture_is_written_in_its_own_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.y4m");
        let size = Size::new(48, 26);
        let frame = Frame::from_i420(size, vec![77; Frame::bytes(size)], Instant::now()).unwrap();
        save_picture(&frame, &path).unwrap();
        let mut reader = Y4mReader::new(std::io::BufReader::new(File::open(&path).unwrap())).unwrap();
        let mut data = vec![0; Frame::bytes(size)];
        assert!(reader.size() == size && reader.read(&mut data).unwrap() && data == frame.data());
        assert!(!reader.read(&mut data).unwrap());
        let error = save_picture(&frame, &folder.path().join("none/b.y4m")).unwrap_err();
        assert!(error.to_string().contains("b.y4m"), "{error}");
    }

    #[test]
    fn the_file_is_complete_once_the_recorder_is_dropped_and_a_bad_path_is_an_error_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.y4m");
        let frames = Latest::new();
        let recorder = VideoRecorder::start(&frames, &path).unwrap();
        for _ in 0..3 {
            frames.publish(Arc::new(Frame::black(Size::new(32, 16), Instant::now())));
            std::thread::sleep(Duration::from_millis(30));
        }
        recorder.stop();
        let mut reader = Y4mReader::new(std::io::BufReader::new(File::open(&path).unwrap())).unwrap();
        let mut data = vec![0; Frame::bytes(reader.size())];
        let mut count = 0;
        while reader.read(&mut data).unwrap() {
            count += 1;
        }
        assert_eq!(count, 3);
        let error = VideoRecorder::start(&frames, &folder.path().join("none/b.y4m")).err().unwrap();
        assert!(error.to_string().contains("b.y4m"), "{error}");
    }
}
