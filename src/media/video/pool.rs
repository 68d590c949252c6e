//! Pictures used again, so that a running call allocates none.

use super::frame::{Frame, Size};
use std::sync::Arc;
use std::time::Instant;

/// Pictures kept. More than are in use at once: those that wait to be shown, the slot, its readers, and the one being
/// written. When all are in
/// use the oldest leaves the pool (its users keep it) and a new one is made.
const POOL_CAPACITY: usize = 12;

/// Makes pictures for one producer.
#[derive(Default)]
pub(crate) struct FramePool {
    frames: Vec<Arc<Frame>>,
}

impl FramePool {
    /// A picture that nobody else holds, filled by `fill`. Before that its content is that of some earlier picture.
    pub(crate) fn fill<E>(
        &mut self,
        size: Size,
        captured: Instant,
        fill: impl FnOnce(&mut Frame) -> Result<(), E>,
    ) -> Result<Arc<Frame>, E> {
        let free = self.frames.iter_mut().position(|frame| Arc::get_mut(frame).is_some());
        let index = match free {
            Some(index) => index,
            None => {
                if self.frames.len() >= POOL_CAPACITY {
                    self.frames.remove(0);
                }
                self.frames.push(Arc::new(Frame::black(size, captured)));
                self.frames.len() - 1
            }
        };
        let slot = &mut self.frames[index];
        if slot.size() != size {
            *slot = Arc::new(Frame::black(size, captured));
        }
        // Nobody else holds it, so this never clones.
        let frame = Arc::make_mut(slot);
        frame.captured = captured;
        frame.capture_ntp = None;
        fill(frame)?;
        Ok(Arc::clone(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn take(pool: &mut FramePool, size: Size) -> Arc<Frame> {
        pool.fill(size, Instant::now(), |_| Ok::<(), Infallible>(())).unwrap()
    }

    #[test]
    fn a_picture_is_used_again_only_when_nobody_holds_it() {
        let mut pool = FramePool::default();
        let first = take(&mut pool, Size::HD);
        let second = take(&mut pool, Size::HD);
        assert!(!Arc::ptr_eq(&first, &second));
        let address = first.data().as_ptr();
        drop(first);
        assert_eq!(take(&mut pool, Size::HD).data().as_ptr(), address);
    }

    #[test]
    fn many_held_pictures_do_not_grow_the_pool() {
        let mut pool = FramePool::default();
        let held: Vec<_> = (0..50).map(|_| take(&mut pool, Size::new(16, 16))).collect();
        assert_eq!(held.len(), 50);
        assert!(pool.frames.len() <= POOL_CAPACITY);
    }
}
