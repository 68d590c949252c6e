//! Conversion of a camera's raw pictures to I420. Every length is checked: drivers give short and padded buffers.

use super::format::Pixels;
use crate::media::video::frame::{Frame, Size};
use yuv::{BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Converts pictures of one format.
pub(crate) struct Converter {
    pixels: Pixels,
    size: Size,
    /// Octets per row of the first (or only) plane.
    stride: usize,
    /// Decompressed picture.
    rgb: Vec<u8>,
}

impl Converter {
    /// `stride` may be 0: rows without padding. Both edges of `size` are even.
    pub(crate) fn new(pixels: Pixels, size: Size, stride: usize) -> Self {
        let width = size.width as usize;
        let least = match pixels {
            Pixels::I420 | Pixels::Nv12 | Pixels::Grey => width,
            Pixels::Yuyv => width * 2,
            Pixels::Rgb | Pixels::Bgr => width * 3,
            Pixels::Mjpeg => 0,
        };
        Self { pixels, size, stride: stride.max(least), rgb: Vec::new() }
    }

    /// Size of the pictures.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Converts `data` into `frame`, which has the right size. What lies behind the picture is ignored.
    ///
    /// # Errors
    /// What is wrong with the picture.
    pub(crate) fn convert(&mut self, data: &[u8], frame: &mut Frame) -> Result<(), String> {
        match self.pixels {
            Pixels::Mjpeg => return self.convert_jpeg(data, frame),
            Pixels::Rgb | Pixels::Bgr => return self.convert_rgb(data, frame),
            _ => {}
        }
        let (width, height, stride) = (self.size.width as usize, self.size.height as usize, self.stride);
        // Rows, and what the last one needs (planar chroma has two rows of half the length in each).
        let (rows, last) = match self.pixels {
            Pixels::I420 => (height + height / 2, stride / 2 + width / 2),
            Pixels::Nv12 => (height + height / 2, width),
            Pixels::Yuyv => (height, width * 2),
            _ => (height, width),
        };
        let data = data
            .get(..stride * (rows - 1) + last)
            .ok_or_else(|| format!("{} octets are too few for {width}x{height}", data.len()))?;
        let (y, u, v) = frame.planes_mut();
        match self.pixels {
            Pixels::Yuyv => {
                let row =
                    |index: usize| data.get(index * stride..).map(|row| &row[..row.len().min(width * 2)]);
                for index in (0..height).step_by(2) {
                    let (Some(upper), Some(lower)) = (row(index), row(index + 1)) else { break };
                    let luma = y[index * width..].split_at_mut(width);
                    let chroma = index / 2 * (width / 2)..(index / 2 + 1) * (width / 2);
                    yuyv_rows(upper, lower, luma, (&mut u[chroma.clone()], &mut v[chroma]));
                }
            }
            Pixels::Grey => {
                copy_rows(data, stride, y, width);
                u.fill(128);
                v.fill(128);
            }
            Pixels::Nv12 => {
                copy_rows(data, stride, y, width);
                let chroma = data[stride * height..].chunks(stride);
                for ((source, u), v) in
                    chroma.zip(u.chunks_exact_mut(width / 2)).zip(v.chunks_exact_mut(width / 2))
                {
                    for ((pair, u), v) in source.as_chunks::<2>().0.iter().zip(u).zip(v) {
                        (*u, *v) = (pair[0], pair[1]);
                    }
                }
            }
            _ => {
                copy_rows(data, stride, y, width);
                let half = stride / 2;
                let (blue, red) = data[stride * height..].split_at(half * (height / 2));
                copy_rows(blue, half, u, width / 2);
                copy_rows(red, half, v, width / 2);
            }
        }
        Ok(())
    }

    fn convert_rgb(&self, data: &[u8], frame: &mut Frame) -> Result<(), String> {
        let needed = self.stride * (self.size.height as usize - 1) + self.size.width as usize * 3;
        if data.len() < needed {
            return Err(format!("{} octets are too few", data.len()));
        }
        rgb_to_frame(data, self.stride, self.pixels == Pixels::Bgr, frame)
    }

    /// JPEG is full range; going by way of RGB brings it into the limited range that all else here expects.
    fn convert_jpeg(&mut self, data: &[u8], frame: &mut Frame) -> Result<(), String> {
        let Size { width, height } = self.size;
        let options = DecoderOptions::default()
            .jpeg_set_out_colorspace(ColorSpace::RGB)
            .set_max_width(width as usize)
            .set_max_height(height as usize)
            .set_strict_mode(false);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
        decoder.decode_headers().map_err(|error| format!("bad JPEG picture: {error}"))?;
        if decoder.dimensions() != Some((width as usize, height as usize)) {
            return Err(format!("the JPEG picture is not {width}x{height}"));
        }
        self.rgb.resize(width as usize * height as usize * 3, 0);
        decoder.decode_into(&mut self.rgb).map_err(|error| format!("bad JPEG picture: {error}"))?;
        rgb_to_frame(&self.rgb, width as usize * 3, false, frame)
    }
}

fn copy_rows(from: &[u8], stride: usize, to: &mut [u8], width: usize) {
    for (source, target) in from.chunks(stride).zip(to.chunks_exact_mut(width)) {
        let length = width.min(source.len());
        target[..length].copy_from_slice(&source[..length]);
    }
}

/// Two rows of Y0 U Y1 V at once: chroma is their mean.
fn yuyv_rows(upper: &[u8], lower: &[u8], luma: (&mut [u8], &mut [u8]), chroma: (&mut [u8], &mut [u8])) {
    let pairs = upper.as_chunks::<4>().0.iter().zip(lower.as_chunks::<4>().0);
    let luma = luma.0.as_chunks_mut::<2>().0.iter_mut().zip(luma.1.as_chunks_mut::<2>().0);
    let chroma = chroma.0.iter_mut().zip(chroma.1);
    for (((a, b), (ya, yb)), (u, v)) in pairs.zip(luma).zip(chroma) {
        *ya = [a[0], a[2]];
        *yb = [b[0], b[2]];
        *u = a[1].midpoint(b[1]);
        *v = a[3].midpoint(b[3]);
    }
}

fn rgb_to_frame(rgb: &[u8], stride: usize, blue_first: bool, frame: &mut Frame) -> Result<(), String> {
    let size = frame.size();
    let chroma_stride = size.chroma().width;
    let (y, u, v) = frame.planes_mut();
    let mut planes = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: size.width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: chroma_stride,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: chroma_stride,
        width: size.width,
        height: size.height,
    };
    let convert = if blue_first { yuv::bgr_to_yuv420 } else { yuv::rgb_to_yuv420 };
    let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
    convert(&mut planes, rgb, stride as u32, range, matrix, YuvConversionMode::Balanced)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const SIZE: Size = Size::new(16, 16);

    fn convert(pixels: Pixels, stride: usize, data: &[u8]) -> Result<(u8, u8, u8), String> {
        let mut frame = Frame::black(SIZE, Instant::now());
        Converter::new(pixels, SIZE, stride).convert(data, &mut frame)?;
        for plane in [frame.y(), frame.u(), frame.v()] {
            assert!(plane.iter().all(|sample| sample.abs_diff(plane[0]) <= 1), "{pixels:?} is not flat");
        }
        Ok((frame.y()[0], frame.u()[0], frame.v()[0]))
    }

    fn repeat(pattern: &[u8], count: usize) -> Vec<u8> {
        pattern.iter().copied().cycle().take(count).collect()
    }

    #[test]
    fn every_layout_comes_out_in_its_colour_with_padding_and_without() {
        let planar = |stride: usize| {
            let mut data = repeat(&[50], stride * 16);
            data.extend(repeat(&[60], stride / 2 * 8));
            data.extend(repeat(&[70], stride / 2 * 8));
            data
        };
        let nv12 = |stride: usize| [repeat(&[50], stride * 16), repeat(&[60, 70], stride * 8)].concat();
        for stride in [16, 32] {
            assert_eq!(convert(Pixels::I420, stride, &planar(stride)), Ok((50, 60, 70)));
            assert_eq!(convert(Pixels::Nv12, stride, &nv12(stride)), Ok((50, 60, 70)));
            assert_eq!(convert(Pixels::Grey, stride, &repeat(&[50], stride * 16)), Ok((50, 128, 128)));
            let yuyv = repeat(&[50, 60, 50, 70], stride * 2 * 16);
            assert_eq!(convert(Pixels::Yuyv, stride * 2, &yuyv), Ok((50, 60, 70)));
        }
        assert_eq!(convert(Pixels::Yuyv, 0, &repeat(&[50, 60, 50, 70], 600)), Ok((50, 60, 70)));
        assert_eq!(convert(Pixels::Rgb, 0, &repeat(&[255], 16 * 48)), Ok((235, 128, 128)));
        // Red: BT.601 limited range Y 81, Cb 90, Cr 240.
        for (pixels, colour) in [(Pixels::Rgb, [255, 0, 0]), (Pixels::Bgr, [0, 0, 255])] {
            let (y, u, v) = convert(pixels, 48, &repeat(&colour, 16 * 48)).unwrap();
            assert!(
                y.abs_diff(81) <= 2 && u.abs_diff(90) <= 2 && v.abs_diff(240) <= 2,
                "{pixels:?} {y} {u} {v}"
            );
        }
    }

    #[test]
    fn short_buffers_and_broken_jpegs_are_errors_not_panics() {
        for pixels in Pixels::ALL {
            for length in [0, 1, 15, 16, 100, 255] {
                assert!(convert(pixels, 0, &vec![0xff; length]).is_err(), "{pixels:?} {length}");
            }
        }
        assert!(convert(Pixels::Mjpeg, 0, b"\xff\xd8\xff\xe0junk").is_err());
    }

    #[test]
    fn a_jpeg_with_junk_behind_it_is_decoded_into_the_limited_range() {
        let mut data = WHITE_JPEG.to_vec();
        data.extend_from_slice(&[0; 5000]);
        let (y, u, v) = convert(Pixels::Mjpeg, 0, &data).unwrap();
        assert!(y.abs_diff(235) <= 1 && u.abs_diff(128) <= 1 && v.abs_diff(128) <= 1, "{y} {u} {v}");
        let mut frame = Frame::black(Size::new(32, 16), Instant::now());
        assert!(Converter::new(Pixels::Mjpeg, Size::new(32, 16), 0).convert(&data, &mut frame).is_err());
    }

    #[test]
    fn a_raw_picture_is_converted_without_an_allocation() {
        for pixels in [Pixels::I420, Pixels::Nv12, Pixels::Yuyv] {
            let (data, mut converter) = (vec![90; 16 * 16 * 2], Converter::new(pixels, SIZE, 0));
            let mut frame = Frame::black(SIZE, Instant::now());
            let convert = || converter.convert(&data, &mut frame).unwrap();
            assert_eq!(crate::allocations::during(convert), 0, "{pixels:?}");
        }
    }

    const WHITE_JPEG: &[u8] = include_bytes!("white-16x16.jpg");
}
