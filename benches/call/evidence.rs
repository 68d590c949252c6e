//! What one participant's call left behind, before anything is computed from it.

/// A picture in the moment in which it was captured, or shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Unix time in milliseconds.
    pub(crate) at: f64,
    pub(crate) height: u32,
    /// Pictures just before this one of which only their number is known.
    pub(crate) missed: u32,
    /// The number burnt into it, if it can be read.
    pub(crate) counter: Option<usize>,
}

/// Brightness of one picture as it was shown, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) luma: Vec<u8>,
}

/// What one participant saw and used, from the click to the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Its own camera's pictures.
    pub(crate) captured: Vec<Seen>,
    /// The other side's pictures.
    pub(crate) shown: Vec<Seen>,
    /// Some of them, whole.
    pub(crate) pictures: Vec<Picture>,
    /// Octets of video received so far, and when (Unix time in milliseconds).
    pub(crate) received: Vec<(f64, f64)>,
    /// Share of the sound played that was made up.
    pub(crate) concealed: Option<f64>,
    /// Processor time, user and system, seconds.
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
    /// Why the call ended before it was to.
    pub(crate) ended: Option<String>,
}
