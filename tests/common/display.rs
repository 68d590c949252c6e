//! An X server without a screen (Xvfb), and hands (xdotool) and eyes (ImageMagick) for it.

use super::eventually;
use super::process::{Guarded, log_file, run};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running X server of 1600×1000 pixels.
pub(crate) struct Display {
    process: Guarded,
    _folder: TempDir,
    name: String,
}

impl Display {
    /// Starts an X server on a display number that it picks itself.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (number, log) = (folder.path().join("number"), folder.path().join("xvfb.log"));
        // Xvfb writes its number to descriptor 1 once it is ready.
        let mut command = Command::new("Xvfb");
        command
            .args(["-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(log_file(&number))
            .stderr(log_file(&log));
        let process = Guarded::spawn(&mut command);
        let name = eventually("Xvfb starts", Duration::from_secs(20), || {
            let text = std::fs::read_to_string(&number).ok()?;
            text.ends_with('\n').then(|| format!(":{}", text.trim()))
        });
        Self { process, _folder: folder, name }
    }

    /// The process id of the X server.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The value of `DISPLAY` for its clients.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs xdotool and gives what it printed.
    pub(crate) fn xdotool(&self, arguments: &[&str]) -> String {
        run(Command::new("xdotool").env("DISPLAY", &self.name).args(arguments)).trim().to_owned()
    }

    /// Waits for the visible window of that process and gives its id.
    pub(crate) fn wait_window(&self, process: u32, patience: Duration) -> String {
        let process = process.to_string();
        eventually("the window opens", patience, || {
            let mut search = Command::new("xdotool");
            search.env("DISPLAY", &self.name).args(["search", "--onlyvisible", "--pid", &process]);
            let output = search.output().unwrap();
            String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned)
        })
    }

    /// Saves a picture of one window, or of the whole screen (`root`), as PNG.
    pub(crate) fn screenshot(&self, window: &str, file: &Path) {
        run(Command::new("import").env("DISPLAY", &self.name).args(["-silent", "-window", window]).arg(file));
    }

    /// The pixels of one window: RGB, three bytes each, with width and height.
    pub(crate) fn pixels(&self, window: &str) -> (usize, usize, Vec<u8>) {
        let mut command = Command::new("import");
        command.env("DISPLAY", &self.name).args(["-silent", "-window", window, "-depth", "8", "ppm:-"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        read_ppm(&output.stdout)
    }
}

/// Reads a binary PPM of 8 bits a sample, as ImageMagick writes it.
fn read_ppm(bytes: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut fields = Vec::new();
    let mut at = 0;
    while fields.len() < 4 {
        let end = at + bytes[at..].iter().position(u8::is_ascii_whitespace).unwrap();
        fields.push(std::str::from_utf8(&bytes[at..end]).unwrap());
        at = end + 1;
    }
    assert_eq!((fields[0], fields[3]), ("P6", "255"));
    (fields[1].parse().unwrap(), fields[2].parse().unwrap(), bytes[at..].to_vec())
}
