//! What the generated bindings call: the part of `wit_bindgen::rt` 0.61.1 (Bytecode Alliance, Apache-2.0) that the
//! contract's worlds need, so that a rule depends on no other crate.
#![allow(unsafe_code, reason = "bindings lift and lower through raw memory")]
#![allow(dead_code, reason = "each world needs another part")]

use core::alloc::Layout;
use core::ptr::{self, NonNull};

/// Sets of flags.
pub(crate) mod bitflags {
    /// A set of flags as the bindings declare it.
    macro_rules! bitflags {
        (
            $(#[$attribute:meta])*
            $vis:vis struct $name:ident: $bits:ty {
                $($(#[$flag_attribute:meta])* const $flag:ident = $value:expr;)*
            }
        ) => {
            $(#[$attribute])*
            $vis struct $name {
                bits: $bits,
            }

            impl $name {
                $($(#[$flag_attribute])* $vis const $flag: Self = Self { bits: $value };)*

                $vis fn from_bits_retain(bits: $bits) -> Self {
                    Self { bits }
                }

                $vis fn bits(&self) -> $bits {
                    self.bits
                }
            }
        };
    }

    pub(crate) use bitflags;
}

/// A block of memory that an answer is lowered into.
pub(crate) struct Cleanup {
    block: NonNull<u8>,
    layout: Layout,
}

impl Cleanup {
    /// A block of `layout`; null and nothing to clean up when that is empty.
    pub(crate) fn new(layout: Layout) -> (*mut u8, Option<Self>) {
        if layout.size() == 0 {
            return (ptr::null_mut(), None);
        }
        // SAFETY: the layout is not empty.
        let Some(block) = NonNull::new(unsafe { std::alloc::alloc(layout) }) else {
            std::alloc::handle_alloc_error(layout)
        };
        (block.as_ptr(), Some(Self { block, layout }))
    }

    /// Leaves the block to whom it was handed over.
    pub(crate) fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // SAFETY: the block came from the allocator with this layout and was not handed over.
        unsafe { std::alloc::dealloc(self.block.as_ptr(), self.layout) }
    }
}

/// Keeps `cabi_realloc` in the module.
pub(crate) fn maybe_link_cabi_realloc() {
    #[cfg(target_arch = "wasm32")]
    {
        #[used]
        static KEPT: unsafe extern "C" fn(*mut u8, usize, usize, usize) -> *mut u8 = cabi_realloc;
    }
}

/// Where the host puts what it passes: the contract's own allocation function.
///
/// # Safety
/// `old` is a block of `old_bytes` that this function gave, or `old_bytes` is 0.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_bytes: usize,
    align: usize,
    bytes: usize,
) -> *mut u8 {
    if old_bytes == 0 && bytes == 0 {
        return ptr::without_provenance_mut(align);
    }
    // SAFETY: the host passes an alignment of the contract's types and a block as described above.
    let block = unsafe {
        match old_bytes {
            0 => std::alloc::alloc(Layout::from_size_align_unchecked(bytes, align)),
            _ => {
                let layout = Layout::from_size_align_unchecked(old_bytes, align);
                std::alloc::realloc(old, layout, bytes)
            }
        }
    };
    if block.is_null() {
        core::arch::wasm32::unreachable();
    }
    block
}

/// Runs the constructors of what was linked in, before the first call of an instance.
#[cfg(target_arch = "wasm32")]
pub(crate) fn run_ctors_once() {
    use core::sync::atomic::{AtomicBool, Ordering};

    unsafe extern "C" {
        /// The linker's.
        fn __wasm_call_ctors();
    }
    static RUN: AtomicBool = AtomicBool::new(false);
    if !RUN.load(Ordering::Relaxed) {
        // SAFETY: the linker provides the function, and a module has one thread.
        unsafe { __wasm_call_ctors() };
        RUN.store(true, Ordering::Relaxed);
    }
}
