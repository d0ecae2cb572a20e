//! The allocator of every module: it only moves a pointer. An instance lives for one batch and its memory is dropped
//! whole, so nothing but the last block is ever given back.
#![expect(
    unsafe_code,
    reason = "an allocator hands out raw memory; nothing outside this file does"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;

const PAGE_BYTES: usize = 64 * 1024;
/// Pages by which memory grows at least, because each growth costs the host a system call.
const GROWTH_PAGES: usize = 4;

struct Bump {
    /// First free byte; 0 before the first block.
    top: Cell<usize>,
    /// One past the last byte of memory.
    end: Cell<usize>,
    /// First byte that no block has had yet; from here on memory is as the host gave it, which is zero.
    fresh: Cell<usize>,
}

// SAFETY: the contract's modules have one thread.
unsafe impl Sync for Bump {}

#[global_allocator]
static HEAP: Bump = Bump { top: Cell::new(0), end: Cell::new(0), fresh: Cell::new(0) };

unsafe extern "C" {
    /// The linker's: where stack and data end.
    static __heap_base: u8;
}

impl Bump {
    #[inline]
    fn place(&self, start: usize, bytes: usize) -> bool {
        let Some(top) = start.checked_add(bytes) else { return false };
        if top > self.end.get() && !self.grow(top) {
            return false;
        }
        self.top.set(top);
        true
    }

    #[cold]
    fn grow(&self, top: usize) -> bool {
        let end = memory_size(0) * PAGE_BYTES;
        if top > end
            && memory_grow(0, (top - end).div_ceil(PAGE_BYTES).next_multiple_of(GROWTH_PAGES))
                == usize::MAX
        {
            return false;
        }
        self.end.set(memory_size(0) * PAGE_BYTES);
        true
    }

    #[inline]
    fn start(&self, align: usize) -> Option<usize> {
        let top = match self.top.get() {
            0 => (&raw const __heap_base) as usize,
            top => top,
        };
        Some(top.checked_add(align - 1)? & !(align - 1))
    }
}

// SAFETY: blocks come from beyond `__heap_base` in ascending order, so they never overlap each other, the stack or
// the data, and each is aligned by `start`.
unsafe impl GlobalAlloc for Bump {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.start(layout.align()) {
            Some(start) if self.place(start, layout.size()) => start as *mut u8,
            _ => core::ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { self.alloc(layout) };
        let used = self.fresh.get().saturating_sub(block as usize).min(layout.size());
        if !block.is_null() && used > 0 {
            // SAFETY: these bytes are the first ones of the block.
            unsafe { block.write_bytes(0, used) };
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let top = self.top.get();
        if block as usize + layout.size() == top {
            self.fresh.set(self.fresh.get().max(top));
            self.top.set(block as usize);
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let top = self.top.get();
        if block as usize + layout.size() == top {
            self.fresh.set(self.fresh.get().max(top));
            return if self.place(block as usize, bytes) { block } else { core::ptr::null_mut() };
        }
        if bytes <= layout.size() {
            return block;
        }
        let Ok(new) = Layout::from_size_align(bytes, layout.align()) else {
            return core::ptr::null_mut();
        };
        // SAFETY: both blocks are live, do not overlap, and the old one is the shorter.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(block, moved, layout.size());
            }
            moved
        }
    }
}
