//! An allocator that never comes back once it is asked for a certain number of bytes: the host asks for memory in the guest
//! to put an answer there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

static SPIN_AT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From now on, an allocation of so many bytes does not come back.
pub fn spin_at(bytes: usize) {
    SPIN_AT.store(bytes, Ordering::Relaxed);
}

struct Spinning;

#[global_allocator]
static ALLOCATOR: Spinning = Spinning;

#[allow(unsafe_code, reason = "an allocator is unsafe by its nature; this one passes everything on")]
unsafe impl GlobalAlloc for Spinning {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        while layout.size() == SPIN_AT.load(Ordering::Relaxed) {
            black_box(0);
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}
