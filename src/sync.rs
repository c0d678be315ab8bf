//! Locks. One way to take them in the whole crate.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock whose data no panic can leave half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
