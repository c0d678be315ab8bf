//! The queue for all events of a client, the eventfd that it wakes, and the events.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use lagrange_core::text::clean;
use rdkafka_sys as sys;

use super::client::Client;
use super::values::{numbers, text};
use super::{Code, Failure};

/// The eventfd that librdkafka writes to when the queue is no longer empty.
#[derive(Debug)]
pub(super) struct Wake(OwnedFd);

impl Wake {
    fn new_fd() -> std::io::Result<OwnedFd> {
        // SAFETY: makes a descriptor; has no precondition.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: just made, so it is open and has no other owner.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn new() -> std::io::Result<Self> {
        Self::new_fd().map(Self)
    }

    /// Another descriptor of the same eventfd, to wait on.
    pub(super) fn reader(&self) -> std::io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

/// Reads what was written to an eventfd, so that the next write wakes again.
pub(super) fn clear(fd: &OwnedFd) -> std::io::Result<()> {
    let mut count = [0_u8; 8];
    // SAFETY: the descriptor is open as long as `fd`; the buffer has the 8 bytes that an eventfd
    // gives.
    let read = unsafe { libc::read(fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    if read < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// The queue that takes all events of a client.
#[derive(Debug)]
pub(super) struct Queue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used and destroyed from any thread.
unsafe impl Send for Queue {}
// SAFETY: librdkafka's queues may be used from several threads at once.
unsafe impl Sync for Queue {}

impl Queue {
    /// A queue for the client's own events (errors, statistics, logs) and for results, which wakes
    /// `wake`.
    pub(super) fn of(client: &Client, wake: &Wake) -> Result<Self, Failure> {
        // SAFETY: the handle is alive.
        let queue = unsafe { sys::rd_kafka_queue_new(client.pointer()) };
        let queue = Self(NonNull::new(queue).ok_or_else(Failure::closed)?);
        let one = 1_u64.to_ne_bytes();
        // SAFETY: handle and both queues are alive. The main queue's reference is given back, the
        // forwarding stays. The payload is copied. The descriptor stays open until io events are
        // switched off (`Core`'s order of fields).
        unsafe {
            let main = sys::rd_kafka_queue_get_main(client.pointer());
            sys::rd_kafka_queue_forward(main, queue.pointer());
            sys::rd_kafka_queue_destroy(main);
            sys::rd_kafka_set_log_queue(client.pointer(), queue.pointer());
            sys::rd_kafka_queue_io_event_enable(
                queue.pointer(),
                wake.0.as_raw_fd(),
                one.as_ptr().cast(),
                one.len(),
            );
        }
        Ok(queue)
    }

    pub(super) fn pointer(&self) -> *mut sys::rd_kafka_queue_t {
        self.0.as_ptr()
    }

    /// The next event, without waiting.
    pub(super) fn poll(&self) -> Option<Event> {
        // SAFETY: the queue is alive as long as `self`; a timeout of 0 does not wait.
        let event = unsafe { sys::rd_kafka_queue_poll(self.pointer(), 0) };
        NonNull::new(event).map(Event)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ours, alive, not used after this; the handle outlives it (`Core`'s order of
        // fields). After the first call librdkafka no longer writes to the descriptor.
        unsafe {
            sys::rd_kafka_queue_io_event_enable(self.pointer(), -1, ptr::null(), 0);
            sys::rd_kafka_queue_destroy(self.pointer());
        }
    }
}

/// An event from a queue. What it points to lives as long as the event. Not `Send`: it is read and
/// destroyed where it was taken.
pub(super) struct Event(NonNull<sys::rd_kafka_event_t>);

impl Event {
    pub(super) fn pointer(&self) -> *mut sys::rd_kafka_event_t {
        self.0.as_ptr()
    }

    /// The kind of event: a constant `RD_KAFKA_EVENT_...`.
    pub(super) fn kind(&self) -> i32 {
        // SAFETY: the event is alive as long as `self`.
        unsafe { sys::rd_kafka_event_type(self.pointer()) }
    }

    /// The ticket number of the call that it answers.
    pub(super) fn ticket(&self) -> usize {
        // SAFETY: the event is alive as long as `self`. The pointer is a number, and never
        // followed.
        unsafe { sys::rd_kafka_event_opaque(self.pointer()) }.addr()
    }

    /// The error that it reports, if any.
    pub(super) fn failure(&self) -> Option<Failure> {
        // SAFETY: the event is alive as long as `self`; its string is copied.
        unsafe {
            let code = numbers::rd_kafka_event_error(self.pointer());
            (code != 0).then(|| Failure {
                code: Code(code),
                message: clean(&text(sys::rd_kafka_event_error_string(self.pointer()))),
            })
        }
    }

    /// Whether that error is fatal for the client.
    pub(super) fn is_fatal(&self) -> bool {
        // SAFETY: the event is alive as long as `self`.
        unsafe { sys::rd_kafka_event_error_is_fatal(self.pointer()) != 0 }
    }

    /// The statistics that it carries.
    pub(super) fn statistics(&self) -> String {
        // SAFETY: the event is alive as long as `self`; its string is copied.
        unsafe { text(sys::rd_kafka_event_stats(self.pointer())) }
    }

    /// The log line that it carries: level (as syslog's), facility, text.
    pub(super) fn log(&self) -> Option<(c_int, String, String)> {
        let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event is alive as long as `self`; its strings are copied.
        unsafe {
            let status = sys::rd_kafka_event_log(
                self.pointer(),
                &raw mut facility,
                &raw mut line,
                &raw mut level,
            );
            (status == 0).then(|| (level, text(facility), clean(&text(line))))
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours, not used after this; the handle is still alive: only the event loop takes
        // events, and it holds the core.
        unsafe { sys::rd_kafka_event_destroy(self.pointer()) };
    }
}
