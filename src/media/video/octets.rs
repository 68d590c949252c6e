//! Memory for encoded pictures, used again, so that a running call allocates none for them.

use bytes::{Bytes, BytesMut};

/// Octets of one chunk: about a second of a 720p call, so that a chunk is free again (what is kept for resending lives
/// about as long) when the others are full.
const CHUNK_OCTETS: usize = 256 * 1024;
/// Chunks kept. When all are in use the oldest leaves the pool (its users keep it) and a new one is made.
const CHUNKS: usize = 4;

/// Hands out copies of encoded pictures.
#[derive(Default)]
pub(crate) struct OctetPool {
    /// The one in use last.
    chunks: Vec<BytesMut>,
}

impl OctetPool {
    /// A copy of `data` that may be shared and sent about.
    pub(crate) fn store(&mut self, data: &[u8]) -> Bytes {
        // Room is looked for behind what was handed out before, then in a chunk that nobody uses any more.
        let free = self.chunks.iter_mut().rposition(|chunk| chunk.try_reclaim(data.len()));
        let mut chunk = match free {
            Some(index) => self.chunks.remove(index),
            None => {
                if self.chunks.len() >= CHUNKS {
                    self.chunks.remove(0);
                }
                BytesMut::with_capacity(CHUNK_OCTETS.max(data.len()))
            }
        };
        chunk.extend_from_slice(data);
        let stored = chunk.split().freeze();
        self.chunks.push(chunk);
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn what_is_handed_out_stays_as_it_was_and_memory_is_used_again() {
        let mut pool = OctetPool::default();
        let mut held: VecDeque<(u8, Bytes)> = VecDeque::new();
        let mut addresses = std::collections::BTreeSet::new();
        for number in 0..2000_u32 {
            let value = number as u8;
            let stored = pool.store(&vec![value; 10_000 + number as usize % 7 * 1000]);
            addresses.insert(stored.as_ptr() as usize / CHUNK_OCTETS);
            held.push_back((value, stored));
            if held.len() > 30 {
                held.pop_front();
            }
            assert!(held.iter().all(|(value, octets)| octets.iter().all(|octet| octet == value)));
        }
        assert_eq!(pool.chunks.len().max(2), pool.chunks.len().min(CHUNKS));
        assert!(addresses.len() <= 2 * CHUNKS, "{addresses:?}");
    }

    #[test]
    fn a_picture_larger_than_a_chunk_and_users_that_keep_everything_are_served() {
        let mut pool = OctetPool::default();
        let held: Vec<Bytes> = (0..20).map(|value| pool.store(&vec![value; CHUNK_OCTETS + 1])).collect();
        assert!(held.iter().enumerate().all(|(value, octets)| octets[CHUNK_OCTETS] == value as u8));
        assert!(pool.chunks.len() <= CHUNKS);
    }
}
