//! librdkafka's strings, numbers and lists as Rust values.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use lagrange_core::text::clean;
use rdkafka_sys as sys;
use zeroize::Zeroizing;

use super::{Code, Failure};
use crate::kafka::connection::secret::Secret;
use crate::kafka::model::snapshot::TopicPartition;

pub(super) const DESTROYED: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__DESTROY as i32;
pub(super) const NO_RESOURCES: i32 =
    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE as i32;
pub(super) const INVALID_ARGUMENT: i32 =
    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG as i32;

/// Size of the buffer for librdkafka's error messages.
pub(super) const MESSAGE: usize = 512;

/// The same C functions as in rdkafka-sys, but with the numbers that brokers choose as numbers. The
/// bindings declare a Rust enum there, which must never hold a number that it does not list. A C
/// enum is passed as an `int`.
pub(super) mod numbers {
    use std::ffi::c_int;

    use rdkafka_sys as sys;

    unsafe extern "C" {
        pub(in super::super) fn rd_kafka_event_error(event: *mut sys::rd_kafka_event_t) -> c_int;
        pub(in super::super) fn rd_kafka_error_code(error: *const sys::rd_kafka_error_t) -> c_int;
        pub(in super::super) fn rd_kafka_metadata(
            client: *mut sys::rd_kafka_t,
            all_topics: c_int,
            only: *mut sys::rd_kafka_topic_t,
            metadata: *mut *const sys::rd_kafka_metadata,
            timeout_ms: c_int,
        ) -> c_int;
    }
}

/// The text of a C string, owned. Null is empty.
///
/// # Safety
/// `text` is null or points to a NUL-terminated string that lives until this returns.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, so by the contract a string that lives long enough.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// [`text`] for sharing; `None` if it is null or empty.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn shared(pointer: *const c_char) -> Option<Arc<str>> {
    // SAFETY: the same contract.
    let owned = unsafe { text(pointer) };
    (!owned.is_empty()).then(|| owned.into())
}

/// An array of pointers as librdkafka returns it: pointer and count.
///
/// # Safety
/// `array` is null, or points to `count` pointers that live as long as `'a`.
pub(super) unsafe fn slice<'a, T>(array: *mut *const T, count: usize) -> &'a [*const T] {
    if array.is_null() {
        return &[];
    }
    // SAFETY: not null, so by the contract `count` initialised pointers that outlive 'a and that
    // nothing writes to.
    unsafe { std::slice::from_raw_parts(array, count) }
}

/// The failure in an error object; `None` if it is null or reports success.
///
/// # Safety
/// `error` is null or points to an error object that lives until this returns.
pub(super) unsafe fn failure(error: *const sys::rd_kafka_error_t) -> Option<Failure> {
    if error.is_null() {
        return None;
    }
    // SAFETY: not null, so by the contract a live error object; its string lives as long as it does
    // and is copied.
    unsafe {
        let code = numbers::rd_kafka_error_code(error);
        (code != 0).then(|| Failure {
            code: Code(code),
            message: clean(&text(sys::rd_kafka_error_string(error))),
        })
    }
}

/// A C string for librdkafka.
pub(super) fn c_string(value: &str) -> Result<CString, Failure> {
    CString::new(value).map_err(|_| Failure::invalid("a name contains a NUL character"))
}

/// The same for a secret, which is erased when it is dropped. `name` is used in the error.
pub(super) fn secret_c_string(name: &str, value: &Secret) -> Result<Zeroizing<CString>, Failure> {
    CString::new(value.bytes())
        .map(Zeroizing::new)
        .map_err(|_| Failure::invalid(&format!("the value of {name} contains a NUL character")))
}

/// A timeout in librdkafka's form.
pub(super) fn milliseconds(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// librdkafka's message for an error number.
pub(super) fn name_of(code: i32) -> String {
    match sys::rd_kafka_resp_err_t::try_from(code) {
        // SAFETY: returns a static string for every number that it knows.
        Ok(known) => unsafe { text(sys::rd_kafka_err2str(known)) },
        Err(_) => format!("error {code}"),
    }
}

/// A list of partitions, each with an offset.
pub(super) struct PartitionList(NonNull<sys::rd_kafka_topic_partition_list_t>);

impl PartitionList {
    pub(super) fn new(partitions: &[TopicPartition], offset: i64) -> Result<Self, Failure> {
        let size = c_int::try_from(partitions.len()).unwrap_or(0);
        // SAFETY: allocates; the size is only a hint.
        let list = unsafe { sys::rd_kafka_topic_partition_list_new(size) };
        let list = Self(NonNull::new(list).ok_or_else(Failure::closed)?);
        for TopicPartition { topic, partition } in partitions {
            let topic = c_string(topic)?;
            // SAFETY: the list is ours and alive; the name is copied; the entry that is returned
            // lives in the list.
            unsafe {
                let entry = sys::rd_kafka_topic_partition_list_add(
                    list.pointer(),
                    topic.as_ptr(),
                    *partition,
                );
                (*entry).offset = offset;
            }
        }
        Ok(list)
    }

    pub(super) fn pointer(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: ours, not used after this.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.pointer()) };
    }
}

/// A partition in a list of librdkafka's: its name, its offset, and the error that it carries.
///
/// # Safety
/// `entry` points to a live entry of a list.
pub(super) unsafe fn entry(
    entry: *const sys::rd_kafka_topic_partition_t,
) -> (TopicPartition, Result<i64, Code>) {
    // SAFETY: by the contract. No reference is made: the error may be a number that the enum lacks.
    unsafe {
        let partition = TopicPartition {
            topic: text((*entry).topic).into(),
            partition: (*entry).partition,
        };
        let error = (&raw const (*entry).err).cast::<c_int>().read();
        let offset = (*entry).offset;
        (
            partition,
            if error == 0 {
                Ok(offset)
            } else {
                Err(Code(error))
            },
        )
    }
}

/// All entries of a list; null has none.
///
/// # Safety
/// `list` is null or points to a list that lives until this returns.
pub(super) unsafe fn entries(
    list: *const sys::rd_kafka_topic_partition_list_t,
) -> Vec<(TopicPartition, Result<i64, Code>)> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: not null, so by the contract a live list, whose `elems` points to `cnt` entries.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count).map(|i| entry((*list).elems.add(i))).collect()
    }
}
