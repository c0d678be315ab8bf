//! Text or bytes that must not be seen: passwords, keys, tokens. Shown nowhere, erased when the
//! last copy goes.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A secret value. Copies share one buffer, which is overwritten when the last of them is dropped.
///
/// It has neither `Display` nor `Serialize`, and `Debug` shows nothing of it, so it gets into no
/// log by accident.
///
/// ```
/// use lagrange::kafka::connection::secret::Secret;
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.text(), Some("hunter2"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes over text or bytes. What it was copied from is the caller's to erase.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(value.into())))
    }

    /// What it holds.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it holds, if that is text in UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    /// Nothing of it, not even how long it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_equal_by_what_it_holds() {
        assert_eq!(Secret::new("one"), Secret::new(b"one".as_slice()));
        assert_ne!(Secret::new("one"), Secret::new("other"));
    }

    #[test]
    fn bytes_that_are_no_text_stay_bytes() {
        let secret = Secret::new([0xff, 0xfe]);
        assert_eq!(secret.bytes(), [0xff, 0xfe]);
        assert_eq!(secret.text(), None);
    }

    #[test]
    fn is_not_shown_inside_other_things_either() {
        let held = Some((Secret::new("marker"), 1));
        assert_eq!(format!("{held:?}"), "Some((Secret(..), 1))");
    }
}
