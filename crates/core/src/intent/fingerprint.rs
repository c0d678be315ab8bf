//! Short numbers for what a user wrote, which restarts and releases do not change.

/// FNV-1a, 64 bits: the standard library's hashes promise nothing across releases.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of nothing yet.
    #[expect(
        clippy::new_without_default,
        reason = "it is always begun to be added to"
    )]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// A zero byte, which no text of an object holds, ends name and value, so that neighbours
    /// cannot be mistaken.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        for byte in name.bytes().chain([0]).chain(value.bytes()).chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}
