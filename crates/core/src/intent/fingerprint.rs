//! Short numbers for what a user wrote. They stay the same across restarts and releases.

/// FNV-1a, 64 bits: the hashes of the standard library may change with a release.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of nothing.
    #[expect(
        clippy::new_without_default,
        reason = "a fingerprint is always made to add fields to"
    )]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Name and value end with a zero byte, which no text in an object contains, so that
    /// neighbouring fields cannot run together.
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
