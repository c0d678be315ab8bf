//! The client handle, and the one request that needs no queue.

use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rdkafka_sys as sys;
use zeroize::Zeroizing;

use super::config::Config;
use super::interpose::{Bounded, Reading, Refused};
use super::values::{MESSAGE, NO_RESOURCES, milliseconds, name_of, numbers, shared, text};
use super::{Code, Failure};
use crate::kafka::model::snapshot::NodeId;
use crate::kafka::token::Token;

/// A client handle.
#[derive(Debug)]
pub(super) struct Client {
    handle: NonNull<sys::rd_kafka_t>,
    /// Dropped after the client and all its threads have ended.
    bounded: Bounded,
}

// SAFETY: librdkafka's handles may be used and destroyed from any thread.
unsafe impl Send for Client {}
// SAFETY: librdkafka's handles may be used from several threads at once.
unsafe impl Sync for Client {}

impl Client {
    pub(super) fn new(config: Config, bounded: Bounded) -> Result<Self, Failure> {
        let mut message = [0; MESSAGE];
        // SAFETY: the configuration is ours and alive; the buffer outlives the call.
        let client = unsafe {
            sys::rd_kafka_new(
                sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
                config.0.as_ptr(),
                message.as_mut_ptr(),
                message.len(),
            )
        };
        let Some(handle) = NonNull::new(client) else {
            // SAFETY: has no precondition; gives a code of librdkafka's own.
            let code = unsafe { sys::rd_kafka_last_error() } as i32;
            // SAFETY: librdkafka has left a NUL-terminated text in the buffer, which was zeroed
            // before.
            let message = unsafe { text(message.as_ptr()) };
            return Err(match code {
                NO_RESOURCES => Failure::out_of_resources(&message),
                _ => Failure::invalid(&message),
            });
        };
        // The client now owns its configuration.
        std::mem::forget(config);
        let client = Self { handle, bounded };
        client.end_group();
        Ok(client)
    }

    /// Ends the membership that never began. With an open group, librdkafka asks for its
    /// coordinator: twice a second and without end where it lacks the right to know. The group
    /// object itself stays until the handle is destroyed, because answers refer to it.
    fn end_group(&self) {
        // SAFETY: the handle is alive as long as `self`. There is no assignment to give back and
        // nothing to commit, so this waits for librdkafka's main thread only, never for a broker.
        // The result is a code of librdkafka's own.
        let code = unsafe { sys::rd_kafka_consumer_close(self.pointer()) };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            tracing::debug!(code = code as i32, "librdkafka did not end its group");
        }
    }

    pub(super) fn pointer(&self) -> *mut sys::rd_kafka_t {
        self.handle.as_ptr()
    }

    /// To be held while metadata is requested and read.
    pub(super) fn reading(&self) -> Reading {
        self.bounded.reading()
    }

    /// The brokers that it may not connect to, if there are any.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.bounded.refused()
    }

    /// Metadata from the broker that is connected first. Blocks for `timeout`.
    pub(super) fn metadata(
        &self,
        all_topics: bool,
        timeout: Duration,
    ) -> Result<Metadata, Failure> {
        let mut metadata = ptr::null();
        // SAFETY: the handle is alive as long as `self`; the result is written to a pointer of
        // ours.
        let code = unsafe {
            numbers::rd_kafka_metadata(
                self.pointer(),
                c_int::from(all_topics),
                ptr::null_mut(),
                &raw mut metadata,
                milliseconds(timeout),
            )
        };
        match NonNull::new(metadata.cast_mut()) {
            Some(metadata) if code == 0 => Ok(Metadata(metadata)),
            _ => Err(Failure {
                code: Code(code),
                message: name_of(code),
            }),
        }
    }

    /// Passes a token to log in with.
    pub(super) fn set_token(&self, token: &Token) -> Result<(), Failure> {
        let nul =
            |what: &str| Failure::invalid(&format!("the token's {what} contains a NUL character"));
        let value = CString::new(token.value())
            .map(Zeroizing::new)
            .map_err(|_| nul("value"))?;
        let principal = CString::new(&*token.principal).map_err(|_| nul("principal"))?;
        let extensions: Vec<CString> = token
            .extensions
            .iter()
            .flat_map(|(key, value)| [key, value])
            .map(|text| CString::new(text.as_str()).map_err(|_| nul("extensions")))
            .collect::<Result<_, _>>()?;
        let mut pointers: Vec<_> = extensions.iter().map(|text| text.as_ptr()).collect();
        let expires = token.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut message = [0; MESSAGE];
        // SAFETY: the handle is alive as long as `self`; strings, the array of their pointers and
        // the buffer outlive the call, which copies.
        let code = unsafe {
            sys::rd_kafka_oauthbearer_set_token(
                self.pointer(),
                value.as_ptr(),
                i64::try_from(expires.as_millis()).unwrap_or(i64::MAX),
                principal.as_ptr(),
                pointers.as_mut_ptr(),
                pointers.len(),
                message.as_mut_ptr(),
                message.len(),
            )
        };
        if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        // Its message may quote the token.
        Err(Failure {
            code: Code(code as i32),
            message: "librdkafka refuses the token: it has invalid characters, or has expired"
                .to_owned(),
        })
    }

    /// Reports that there is no token now. librdkafka asks again in ten seconds, and reports this
    /// as an error.
    pub(super) fn no_token(&self, why: &str) {
        // A text with a NUL character cannot be passed on.
        let why = CString::new(why).unwrap_or_default();
        // SAFETY: the handle is alive as long as `self`; the string outlives the call, which
        // copies. The result, that there is no such login, does not matter.
        unsafe { sys::rd_kafka_oauthbearer_set_token_failure(self.pointer(), why.as_ptr()) };
    }

    /// The cluster's id, if a reply has contained it already.
    pub(super) fn cluster_id(&self) -> Option<Arc<str>> {
        // SAFETY: the handle is alive as long as `self`; a timeout of 0 does not wait.
        let id = unsafe { sys::rd_kafka_clusterid(self.pointer(), 0) };
        // SAFETY: null or a NUL-terminated string that is ours.
        let copy = unsafe { shared(id) };
        if !id.is_null() {
            // SAFETY: allocated by librdkafka for us, not used after this.
            unsafe { sys::rd_kafka_mem_free(self.pointer(), id.cast()) };
        }
        copy
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Its group has ended already. SAFETY: ours, alive, not used after this; queues and events
        // were destroyed before (`Core`'s order of fields).
        unsafe {
            sys::rd_kafka_destroy_flags(self.pointer(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
}

/// A reply of [`Client::metadata`].
pub(super) struct Metadata(NonNull<sys::rd_kafka_metadata>);

impl Metadata {
    pub(in crate::kafka) fn brokers(&self) -> Vec<NodeId> {
        // SAFETY: alive as long as `self`; `brokers` points to `broker_cnt` of them, or is null
        // when there are none.
        unsafe {
            let metadata = self.0.as_ref();
            let count = usize::try_from(metadata.broker_cnt).unwrap_or(0);
            let ids = (0..count).filter_map(|i| metadata.brokers.add(i).as_ref());
            ids.map(|broker| NodeId(broker.id)).collect()
        }
    }

    /// Names of the topics that were described without an error.
    pub(super) fn topic_names(&self) -> impl Iterator<Item = Arc<str>> {
        // SAFETY: alive as long as `self`.
        let metadata = unsafe { self.0.as_ref() };
        let count = usize::try_from(metadata.topic_cnt).unwrap_or(0);
        (0..count).filter_map(move |i| {
            // SAFETY: `topics` points to `topic_cnt` of them. No reference is made: the error may
            // be a number that the enum lacks. The name lives as long as `self` and is copied.
            unsafe {
                let topic = metadata.topics.add(i);
                let error = (&raw const (*topic).err).cast::<c_int>().read();
                (error == 0).then(|| shared((*topic).topic)).flatten()
            }
        })
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: ours, not used after this.
        unsafe { sys::rd_kafka_metadata_destroy(self.0.as_ptr()) };
    }
}
