//! How busy the machine was while something was measured.

use std::fs;
use std::time::Instant;

/// Share of the time in which something that could run had to wait for a processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    at: Instant,
    /// Microseconds since the machine started; `None` where the kernel does not say.
    waited: Option<u64>,
    /// 0 to 1, once it is over.
    pub(crate) share: Option<f64>,
}

impl Pressure {
    /// Begins to look.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), waited: waited(), share: None }
    }

    /// What it was since then.
    pub(crate) fn until_now(self) -> Self {
        let grown = self.waited.zip(waited()).map(|(before, now)| now.saturating_sub(before));
        let elapsed = self.at.elapsed().as_micros() as f64;
        Self { share: grown.map(|waited| waited as f64 / elapsed), ..self }
    }
}

/// `total` of "some" in `/proc/pressure/cpu` (kernel documentation, accounting/psi).
fn waited() -> Option<u64> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    text.lines().find(|line| line.starts_with("some"))?.split_once("total=")?.1.trim().parse().ok()
}
