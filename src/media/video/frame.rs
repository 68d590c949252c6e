//! One picture, planar YUV 4:2:0, from the camera to the encoder and from the decoder to the screen.

use std::time::Instant;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Size {
    /// 1280×720.
    pub const HD: Self = Self { width: 1280, height: 720 };

    /// 1920×1080.
    pub const FULL_HD: Self = Self { width: 1920, height: 1080 };

    /// `width` × `height`.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Size of a chroma plane (4:2:0, odd sizes rounded up).
    pub const fn chroma(self) -> Self {
        Self { width: self.width.div_ceil(2), height: self.height.div_ceil(2) }
    }

    const fn area(self) -> usize {
        self.width as usize * self.height as usize
    }
}

/// An I420 picture: planes Y, U, V one behind the other, without padding between rows. BT.601 limited range, as
/// cameras and WebRTC peers send it.
#[derive(Clone, Debug)]
pub struct Frame {
    size: Size,
    data: Vec<u8>,
    /// When it was captured here, or decoded.
    pub captured: Instant,
    /// When the sender captured it, NTP 64-bit format in the sender's clock, where known.
    pub capture_ntp: Option<u64>,
}

impl Frame {
    /// A black picture.
    pub fn black(size: Size, captured: Instant) -> Self {
        let mut data = vec![16; size.area()];
        data.resize(Self::bytes(size), 128);
        Self { size, data, captured, capture_ntp: None }
    }

    /// Takes over planes that lie one behind the other. `None` if their length does not fit the size.
    pub fn from_i420(size: Size, data: Vec<u8>, captured: Instant) -> Option<Self> {
        (data.len() == Self::bytes(size)).then_some(Self { size, data, captured, capture_ntp: None })
    }

    /// Bytes of an I420 picture of this size.
    pub const fn bytes(size: Size) -> usize {
        size.area() + 2 * size.chroma().area()
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All planes, one behind the other.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All planes, to be written.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Luma, row stride = width.
    pub fn y(&self) -> &[u8] {
        &self.data[..self.size.area()]
    }

    /// Blue-difference chroma, row stride = chroma width.
    pub fn u(&self) -> &[u8] {
        let start = self.size.area();
        &self.data[start..start + self.size.chroma().area()]
    }

    /// Red-difference chroma, row stride = chroma width.
    pub fn v(&self) -> &[u8] {
        &self.data[self.size.area() + self.size.chroma().area()..]
    }

    /// The three planes, to be written.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let chroma = self.size.chroma().area();
        let (y, rest) = self.data.split_at_mut(self.size.area());
        let (u, v) = rest.split_at_mut(chroma);
        (y, u, v)
    }
}

/// Copies a plane whose rows are `stride` apart into one whose rows are not.
pub(super) fn copy_plane(from: &[u8], stride: usize, to: &mut [u8], width: usize) {
    for (source, target) in from.chunks(stride).zip(to.chunks_exact_mut(width)) {
        let length = width.min(source.len());
        target[..length].copy_from_slice(&source[..length]);
    }
}
