//! The options of one call to librdkafka's admin API.

use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka_sys as sys;

use super::client::Client;
use super::values::{MESSAGE, failure, milliseconds, text};
use super::{Code, Failure};
use crate::kafka::model::snapshot::NodeId;

/// The options of one call.
pub(super) struct Options(NonNull<sys::rd_kafka_AdminOptions_t>);

impl Options {
    pub(super) fn new(
        client: &Client,
        call: sys::rd_kafka_admin_op_t,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        // SAFETY: the handle is alive.
        let options = unsafe { sys::rd_kafka_AdminOptions_new(client.pointer(), call) };
        let options = Self(NonNull::new(options).ok_or_else(Failure::closed)?);
        let mut message = [0; MESSAGE];
        // SAFETY: the options are ours and alive; the buffer outlives the call.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_request_timeout(
                options.pointer(),
                milliseconds(timeout),
                message.as_mut_ptr(),
                message.len(),
            )
        };
        accepted(code, &message)?;
        Ok(options)
    }

    /// Sends the call to this broker, regardless of what librdkafka knows.
    pub(super) fn to(self, broker: NodeId) -> Result<Self, Failure> {
        let mut message = [0; MESSAGE];
        // SAFETY: the options are ours and alive; the buffer outlives the call.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_broker(
                self.pointer(),
                broker.0,
                message.as_mut_ptr(),
                message.len(),
            )
        };
        accepted(code, &message)?;
        Ok(self)
    }

    /// Reads offsets up to the last stable one.
    pub(super) fn read_committed(self) -> Result<Self, Failure> {
        // SAFETY: the options are ours and alive; an error that is returned is ours.
        unsafe {
            let error = sys::rd_kafka_AdminOptions_set_isolation_level(
                self.pointer(),
                sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            );
            let failure = failure(error);
            if !error.is_null() {
                sys::rd_kafka_error_destroy(error);
            }
            failure.map_or(Ok(self), Err)
        }
    }

    pub(super) fn ticket(&self, number: usize) {
        // SAFETY: the options are ours and alive; the pointer is a number that is never followed.
        unsafe {
            sys::rd_kafka_AdminOptions_set_opaque(
                self.pointer(),
                ptr::without_provenance_mut::<c_void>(number),
            );
        }
    }

    pub(super) fn pointer(&self) -> *mut sys::rd_kafka_AdminOptions_t {
        self.0.as_ptr()
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: ours, not used after this; a call that was begun has copied them.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.pointer()) };
    }
}

fn accepted(code: sys::rd_kafka_resp_err_t, message: &[c_char; MESSAGE]) -> Result<(), Failure> {
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    Err(Failure {
        code: Code(code as i32),
        // SAFETY: librdkafka has left a NUL-terminated text in the buffer, which was zeroed before.
        message: unsafe { text(message.as_ptr()) },
    })
}
