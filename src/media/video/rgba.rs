//! Conversion for the screen, off the window's thread.

/// One converted picture.
pub struct RgbaImage {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// RGBA, 8 bits each, opaque, row by row.
    pub pixels: Vec<u8>,
}
