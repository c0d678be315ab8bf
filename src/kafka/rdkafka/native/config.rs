//! The configuration of a client: its properties, and where it may not connect.

use std::ffi::{c_char, c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::{self, NonNull};

use lagrange_core::intent::servers::is_local_address;
use rdkafka_sys as sys;

use super::Failure;
use super::interpose::Bounded;
use super::values::{MESSAGE, c_string, secret_c_string};
use crate::kafka::connection::secret::Secret;

/// A configuration that has not become a client yet.
pub(super) struct Config(pub(super) NonNull<sys::rd_kafka_conf_t>);

impl Config {
    /// `tokens`: whether logins use tokens, for which librdkafka then asks by an event.
    pub(super) fn new(tokens: bool) -> Result<Self, Failure> {
        // SAFETY: allocates; has no precondition.
        let config = unsafe { sys::rd_kafka_conf_new() };
        let config = Self(NonNull::new(config).ok_or_else(Failure::closed)?);
        let mut events =
            sys::RD_KAFKA_EVENT_ERROR | sys::RD_KAFKA_EVENT_STATS | sys::RD_KAFKA_EVENT_LOG;
        if tokens {
            events |= sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        }
        // SAFETY: the configuration is ours and alive.
        unsafe { sys::rd_kafka_conf_set_events(config.0.as_ptr(), events) };
        Ok(config)
    }

    pub(super) fn set(&mut self, name: &'static str, value: &Secret) -> Result<(), Failure> {
        let (property, value) = (c_string(name)?, secret_c_string(name, value)?);
        let mut message = [0; MESSAGE];
        // SAFETY: the configuration is ours and alive; both strings and the buffer outlive the
        // call, which copies.
        let result = unsafe {
            sys::rd_kafka_conf_set(
                self.0.as_ptr(),
                property.as_ptr(),
                value.as_ptr(),
                message.as_mut_ptr(),
                message.len(),
            )
        };
        if result == sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Ok(());
        }
        // Its message may quote the value.
        Err(Failure::invalid(&format!(
            "librdkafka refuses the value of {name}"
        )))
    }

    /// Sets the number by which `interpose.c` identifies the client. Callbacks get it too, and
    /// ignore it.
    pub(super) fn set_opaque(&mut self, bounded: &Bounded) {
        // SAFETY: the configuration is ours and alive; the opaque is a number, never followed.
        unsafe { sys::rd_kafka_conf_set_opaque(self.0.as_ptr(), bounded.opaque()) };
    }

    /// Makes librdkafka report why it does not trust a broker's certificate. By default it only
    /// reports that it does not.
    pub(super) fn explain_distrust(&mut self) {
        // SAFETY: the configuration is ours and alive; the callback is a static function without
        // state.
        unsafe { sys::rd_kafka_conf_set_ssl_cert_verify_cb(self.0.as_ptr(), Some(explain)) };
    }

    /// Refuses every connection to a loopback or link-local address, whatever name resolves to it
    /// and wherever it came from: the user, DNS, or a broker that advertises it.
    pub(super) fn refuse_local_addresses(&mut self) {
        // SAFETY: the configuration is ours and alive; the callback is a static function without
        // state.
        unsafe { sys::rd_kafka_conf_set_connect_cb(self.0.as_ptr(), Some(connect_elsewhere)) };
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: ours, alive, and not used after this: `Client::new` forgets what it has given
        // away.
        unsafe { sys::rd_kafka_conf_destroy(self.0.as_ptr()) };
    }
}

/// Keeps OpenSSL's verdict on a certificate, and writes the reason as text, which librdkafka logs.
/// Returns whether the certificate may be trusted.
///
/// # Safety
/// Only librdkafka may call it, with a number and a buffer of `size` bytes that live during the
/// call.
unsafe extern "C" fn explain(
    _client: *mut sys::rd_kafka_t,
    _name: *const c_char,
    _id: i32,
    found: *mut c_int,
    _depth: c_int,
    _certificate: *const c_char,
    _length: usize,
    buffer: *mut c_char,
    size: usize,
    _opaque: *mut c_void,
) -> c_int {
    // SAFETY: the contract of this function.
    let found = unsafe { found.read() };
    if found == VERIFIED {
        return 1;
    }
    let words = distrust(found).as_bytes();
    let length = words.len().min(size.saturating_sub(1));
    if size > 0 {
        // SAFETY: the contract of this function; `length` and the NUL after it fit.
        unsafe {
            ptr::copy_nonoverlapping(words.as_ptr().cast(), buffer, length);
            buffer.add(length).write(0);
        }
    }
    0
}

/// `X509_V_OK`
const VERIFIED: c_int = 0;

/// A text for each of OpenSSL's numbers (`X509_V_ERR_...`).
fn distrust(found: c_int) -> &'static str {
    match found {
        2 | 18..=21 => {
            "its authority is not in tls.trustedCertificates (or in the system's, if that is not \
             set)"
        }
        9 => "it is not valid yet: check the clocks",
        10 => "it has expired",
        62..=64 => {
            "it is for other names: bootstrapServers and the brokers' advertised listeners need \
             names that are in it"
        }
        _ => "OpenSSL does not accept it (see the operator's log at level debug)",
    }
}

/// Connects as librdkafka itself would, except to this machine and its link. Returns 0 or an errno.
///
/// # Safety
/// Only librdkafka may call it, with a socket and an address of `length` bytes that live during the
/// call.
unsafe extern "C" fn connect_elsewhere(
    socket: c_int,
    address: *const libc::sockaddr,
    length: c_int,
    _name: *const c_char,
    _opaque: *mut c_void,
) -> c_int {
    let Ok(length) = libc::socklen_t::try_from(length) else {
        return libc::EINVAL;
    };
    // SAFETY: the contract of this function.
    let target = unsafe { address_of(address, length) };
    match target {
        Some(ip) if is_local_address(ip) => return libc::EACCES,
        Some(_) => {}
        None => return libc::EAFNOSUPPORT,
    }
    // SAFETY: the contract of this function; the socket stays librdkafka's.
    if unsafe { libc::connect(socket, address, length) } == 0 {
        return 0;
    }
    match std::io::Error::last_os_error().raw_os_error() {
        // The socket does not block: librdkafka waits for the outcome.
        Some(libc::EINPROGRESS) => 0,
        Some(errno) => errno,
        None => libc::EIO,
    }
}

/// The address in a `sockaddr`.
///
/// # Safety
/// `address` points to `length` bytes that live until this returns.
unsafe fn address_of(address: *const libc::sockaddr, length: libc::socklen_t) -> Option<IpAddr> {
    let length = usize::try_from(length).ok()?;
    if length < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: long enough for the family, which every sockaddr begins with; reads need no
    // alignment.
    let family = unsafe { ptr::read_unaligned(address.cast::<libc::sa_family_t>()) };
    match c_int::from(family) {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: long enough, and of this family.
            let address = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in>()) };
            let octets = address.sin_addr.s_addr.to_ne_bytes();
            Some(Ipv4Addr::from(octets).into())
        }
        libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: long enough, and of this family.
            let address = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in6>()) };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}
