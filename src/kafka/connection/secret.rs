//! Text or bytes that must stay hidden: passwords, keys, tokens. Never shown, and erased when the
//! last copy is dropped.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A secret value. Copies share one buffer, which is overwritten when the last of them is dropped.
///
/// It has neither `Display` nor `Serialize`, and `Debug` shows nothing of it, so it cannot get into
/// a log by accident.
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
    /// Takes over text or bytes. The caller has to erase what they were copied from.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(value.into())))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value, if it is UTF-8 text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    /// Shows nothing of it, not even its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_with_equal_bytes_are_equal() {
        assert_eq!(Secret::new("one"), Secret::new(b"one".as_slice()));
        assert_ne!(Secret::new("one"), Secret::new("other"));
    }

    #[test]
    fn bytes_that_are_not_text_are_kept() {
        let secret = Secret::new([0xff, 0xfe]);
        assert_eq!(secret.bytes(), [0xff, 0xfe]);
        assert_eq!(secret.text(), None);
    }

    #[test]
    fn debug_of_a_containing_value_does_not_show_it() {
        let held = Some((Secret::new("marker"), 1));
        assert_eq!(format!("{held:?}"), "Some((Secret(..), 1))");
    }
}
