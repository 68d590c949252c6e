//! Y4M (YUV4MPEG2) files: read as a camera, looped and paced. The file is read picture by picture, never whole.
//! Only 8-bit 4:2:0 is taken, which is what everything else here works with.

use super::frame::{Frame, Size};
use super::pool::FramePool;
use super::source::{Pace, Sink};
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Longest header line of the file or of a picture, octets. Real ones have less than 100.
const MAX_LINE: u64 = 512;
/// Widest or highest picture.
const MAX_EDGE: u32 = 4096;
/// Pictures per second that a file may ask for.
const FPS_RANGE: std::ops::RangeInclusive<f64> = 0.1..=240.0;
/// Frame rate of a file that names none.
const DEFAULT_FPS: f64 = 30.0;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub(crate) enum Y4mError {
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    #[error("this is no Y4M file: it does not begin with YUV4MPEG2")]
    NotY4m,
    #[error("the file's header is damaged: {0}")]
    Header(String),
    #[error("the picture size {0}x{1} is not supported: both must be from 1 to {MAX_EDGE}")]
    Size(u32, u32),
    #[error("the colour format {0} is not supported: convert the file to 8-bit 4:2:0 (C420jpeg)")]
    Colour(String),
    #[error("the file holds no picture")]
    Empty,
    #[error("picture {0} is damaged: it does not begin with FRAME")]
    Frame(u64),
    #[error("the file ends in the middle of picture {0}")]
    Truncated(u64),
}

/// Reads pictures one by one.
#[derive(Debug)]
pub(crate) struct Y4mReader<R> {
    input: R,
    size: Size,
    interval: Duration,
    first_picture: u64,
    /// Pictures read since the beginning.
    count: u64,
}

impl<R: BufRead + Seek> Y4mReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// What is wrong with the file, in words.
    pub(crate) fn new(mut input: R) -> Result<Self, Y4mError> {
        let line = read_line(&mut input)?.ok_or(Y4mError::NotY4m)?;
        let text = std::str::from_utf8(&line).map_err(|_invalid| Y4mError::NotY4m)?;
        let mut fields = text.split(' ');
        if fields.next() != Some("YUV4MPEG2") {
            return Err(Y4mError::NotY4m);
        }
        let (mut width, mut height, mut fps, mut colour) = (None, None, DEFAULT_FPS, "420jpeg");
        for field in fields {
            let mut characters = field.chars();
            let value = |characters: &std::str::Chars<'_>| characters.as_str().parse::<u32>().ok();
            match characters.next() {
                Some('W') => width = value(&characters),
                Some('H') => height = value(&characters),
                Some('F') => fps = parse_rate(characters.as_str())?,
                Some('C') => colour = &field[1..],
                // Interlacing, pixel aspect and comments do not matter here.
                _ => {}
            }
        }
        if !matches!(colour, "420" | "420jpeg" | "420mpeg2" | "420paldv") {
            return Err(Y4mError::Colour(colour.into()));
        }
        let (Some(width), Some(height)) = (width, height) else {
            return Err(Y4mError::Header("it names no width or no height".into()));
        };
        if !(1..=MAX_EDGE).contains(&width) || !(1..=MAX_EDGE).contains(&height) {
            return Err(Y4mError::Size(width, height));
        }
        let first_picture = input.stream_position()?;
        let interval = Duration::from_secs_f64(1.0 / fps);
        Ok(Self { input, size: Size::new(width, height), interval, first_picture, count: 0 })
    }

    /// Size of every picture.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Time from picture to picture.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Reads the next picture into `data`, which has the size of one; false at the end of the file.
    ///
    /// # Errors
    /// If the picture is damaged or incomplete.
    pub(crate) fn read(&mut self, data: &mut [u8]) -> Result<bool, Y4mError> {
        let number = self.count + 1;
        let Some(line) = read_line(&mut self.input)? else { return Ok(false) };
        if line != b"FRAME" && !line.starts_with(b"FRAME ") {
            return Err(Y4mError::Frame(number));
        }
        match self.input.read_exact(data) {
            Ok(()) => self.count = number,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Y4mError::Truncated(number));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Goes back to the first picture.
    ///
    /// # Errors
    /// If the file cannot be read again.
    pub(crate) fn rewind(&mut self) -> Result<(), Y4mError> {
        self.input.seek(SeekFrom::Start(self.first_picture))?;
        self.count = 0;
        Ok(())
    }

    /// The next picture, from the beginning again after the last. A last picture that is cut off is left out.
    fn read_looped(&mut self, data: &mut [u8]) -> Result<(), Y4mError> {
        match self.read(data) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error @ Y4mError::Truncated(number)) if number > 1 => {
                tracing::warn!(%error, "left out");
            }
            Err(error) => return Err(error),
        }
        self.rewind()?;
        if self.read(data)? { Ok(()) } else { Err(Y4mError::Empty) }
    }
}

/// Plays the file at its own rate, over and over, until stopped.
pub(crate) fn run_file(path: &Path, sink: &Sink<'_>) {
    let name = path.display().to_string();
    if let Err(error) = play(path, &name, sink) {
        sink.report_lost(&name, error.to_string());
    }
}

fn play(path: &Path, name: &str, sink: &Sink<'_>) -> Result<(), Y4mError> {
    let mut reader = Y4mReader::new(BufReader::new(File::open(path)?))?;
    let mut pool = FramePool::default();
    let mut pace = Pace::new(reader.interval());
    let mut data = vec![0; Frame::bytes(reader.size())];
    let mut opened = false;
    loop {
        // Read ahead of time, so that a slow disk does not show.
        reader.read_looped(&mut data)?;
        if !opened {
            sink.report_opened(name);
            opened = true;
        }
        if pace.wait(sink.stop) {
            return Ok(());
        }
        let copied = pool.fill(reader.size(), Instant::now(), |frame| {
            frame.data_mut().copy_from_slice(&data);
            Ok::<(), Infallible>(())
        });
        match copied {
            Ok(frame) => sink.out.publish(frame),
            Err(never) => match never {},
        }
    }
}

/// A line without its end; `None` at the end of the file.
fn read_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, Y4mError> {
    let mut line = Vec::new();
    input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(Y4mError::Header("a line is too long or cut off".into())),
    }
}

/// `30000:1001`; `0:0` is unknown.
fn parse_rate(text: &str) -> Result<f64, Y4mError> {
    let bad = || Y4mError::Header(format!("{text} is no frame rate"));
    let (numerator, denominator) = text.split_once(':').ok_or_else(bad)?;
    let numerator: u32 = numerator.parse().map_err(|_invalid| bad())?;
    let denominator: u32 = denominator.parse().map_err(|_invalid| bad())?;
    if (numerator, denominator) == (0, 0) {
        return Ok(DEFAULT_FPS);
    }
    let fps = f64::from(numerator) / f64::from(denominator);
    if FPS_RANGE.contains(&fps) { Ok(fps) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn open(bytes: &[u8]) -> Result<Y4mReader<Cursor<&[u8]>>, Y4mError> {
        Y4mReader::new(Cursor::new(bytes))
    }

    fn message(bytes: &[u8]) -> String {
        open(bytes).unwrap_err().to_string()
    }

    #[test]
    fn pictures_are_read_in_order_and_over_again() {
        let mut file = b"YUV4MPEG2 W2 H2 F30000:1001 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2\n".to_vec();
        for value in 1..=3 {
            file.extend_from_slice(if value == 2 { b"FRAME Ip\n" } else { b"FRAME\n" });
            file.extend_from_slice(&[value; 6]);
        }
        let mut reader = open(&file).unwrap();
        assert_eq!(reader.size(), Size::new(2, 2));
        assert_eq!(reader.interval().as_micros(), 33_366);
        let mut data = [0; 6];
        for expected in [1, 2, 3, 1, 2] {
            reader.read_looped(&mut data).unwrap();
            assert_eq!(data, [expected; 6]);
        }
        // The last picture is cut off: the first two go on.
        file.pop();
        let mut reader = open(&file).unwrap();
        for expected in [1, 2, 1, 2] {
            reader.read_looped(&mut data).unwrap();
            assert_eq!(data, [expected; 6]);
        }
    }

    #[test]
    fn bad_files_are_refused_in_words() {
        assert_eq!(message(b""), Y4mError::NotY4m.to_string());
        assert_eq!(message(b"RIFF....\n"), Y4mError::NotY4m.to_string());
        assert!(message(b"YUV4MPEG2 W2 H2").contains("cut off"));
        assert!(message(&[b'Y'; 5000]).contains("too long"));
        assert!(message(b"YUV4MPEG2 H2\n").contains("no width"));
        assert!(message(b"YUV4MPEG2 Wx H2\n").contains("no width"));
        for size in ["W0 H2", "W2 H0", "W4097 H2", "W4294967295 H4294967295"] {
            assert!(message(format!("YUV4MPEG2 {size}\n").as_bytes()).contains("not supported"), "{size}");
        }
        assert!(message(b"YUV4MPEG2 W99999999999 H2\n").contains("no width"));
        for rate in ["F30", "F0:1", "F1:0", "F1000:1", "F-1:1", "F:"] {
            let text = message(format!("YUV4MPEG2 W2 H2 {rate}\n").as_bytes());
            assert!(text.contains("no frame rate"), "{rate}");
        }
        for colour in ["mono", "422", "444", "420p10", "411"] {
            let text = message(format!("YUV4MPEG2 W2 H2 C{colour}\n").as_bytes());
            assert!(text.contains("not supported"), "{colour}");
        }
    }

    #[test]
    fn bad_pictures_are_refused_in_words() {
        let mut data = [0; 6];
        let mut read = |bytes: &[u8]| open(bytes).unwrap().read_looped(&mut data).unwrap_err().to_string();
        assert!(read(b"YUV4MPEG2 W2 H2\n").contains("no picture"));
        assert!(read(b"YUV4MPEG2 W2 H2\nFRAME\n12345").contains("middle of picture 1"));
        assert!(read(b"YUV4MPEG2 W2 H2\nFRAMES\n123456").contains("damaged"));
    }

    proptest! {
        #[test]
        fn no_file_panics(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut file = b"YUV4MPEG2 W2 H2 ".to_vec();
            file.extend_from_slice(&tail);
            if let Ok(mut reader) = open(&file) {
                let mut data = vec![0; Frame::bytes(reader.size())];
                while let Ok(true) = reader.read(&mut data) {}
            }
        }
    }
}
