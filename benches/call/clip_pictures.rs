//! The pictures of the clip, as they were before anybody sent them.

use crate::common::clip;
use crate::common::scene::Scene;
use crate::evidence::Picture;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// The picture of the scene's clip that has the same number burnt in as `shown`; `None` if none can be read.
pub(crate) fn sent_picture(scene: Scene, shown: &Picture) -> Option<Picture> {
    let counter = clip::read_counter(&clip::squares(&shown.luma, shown.width, shown.height))?;
    read(scene, counter).ok()
}

fn read(scene: Scene, number: usize) -> std::io::Result<Picture> {
    let (width, height) = (clip::WIDTH, clip::HEIGHT);
    let mut file = BufReader::new(File::open(clip::path(scene))?);
    let header = file.read_until(b'\n', &mut Vec::new())?;
    let frame = "FRAME\n".len();
    file.seek(SeekFrom::Start((header + number * (frame + width * height * 3 / 2) + frame) as u64))?;
    let mut luma = vec![0; width * height];
    file.read_exact(&mut luma)?;
    Ok(Picture { width, height, luma })
}
