//! Headers of a record, whatever their names are made of.
//!
//! A producer may write any bytes as the name of a header, and rdkafka panics at a name that is not UTF-8. So this file
//! asks librdkafka itself.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::slice;

use rdkafka::message::BorrowedMessage;
use rdkafka_sys as sys;
use tollgate_domain::dead::Header;

const NO_ERROR: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// Copies the headers of a record; most have none, and then nothing is allocated. In a name, what is not UTF-8 becomes
/// U+FFFD, and a NUL ends it; values keep their bytes. Headers that librdkafka cannot read count as none.
#[allow(unsafe_code, reason = "rdkafka's own way panics at a name that is not UTF-8")]
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut all = ptr::null_mut();
    let mut headers = Vec::new();
    // SAFETY: the borrow keeps the message alive, and the headers belong to it; nobody changes them meanwhile. Pointers
    // are followed only after librdkafka has said that it set them, and what they point to is copied.
    unsafe {
        if sys::rd_kafka_message_headers(message.ptr(), &mut all) != NO_ERROR {
            return headers;
        }
        let (mut name, mut value, mut bytes) = (ptr::null(), ptr::null(), 0);
        // Behind the last one it is an error to ask.
        while sys::rd_kafka_header_get_all(all, headers.len(), &mut name, &mut value, &mut bytes)
            == NO_ERROR
        {
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            headers.push((name, copied(value, bytes)));
        }
    }
    headers
}

/// # Safety
/// `value` is null or points to as many bytes.
#[allow(unsafe_code, reason = "librdkafka gives a pointer and a length")]
unsafe fn copied(value: *const c_void, bytes: usize) -> Option<Vec<u8>> {
    if value.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { slice::from_raw_parts(value.cast::<u8>(), bytes) }.to_vec())
}
