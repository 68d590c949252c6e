//! Counts the allocations of the tests' threads, to prove that a path that runs once a picture or packet makes none.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator with a counter for each thread.
struct Counting;

thread_local! {
    /// Constant and without a destructor: reading it neither allocates nor fails at a thread's end.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations, and growths of what was allocated, that this thread has made.
pub(crate) fn on_this_thread() -> u64 {
    COUNT.with(Cell::get)
}

/// How often this thread allocates while `work` runs.
pub(crate) fn during(work: impl FnOnce()) -> u64 {
    let before = on_this_thread();
    work();
    on_this_thread() - before
}

fn count() {
    COUNT.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn allocations_of_this_thread_are_counted() {
        let before = super::on_this_thread();
        let kept = std::hint::black_box(vec![1_u8; 100]);
        assert_eq!(super::on_this_thread(), before + 1);
        drop(kept);
    }
}
