//! What is rebuilt from looks after a restart: bounded, thinned with age, never written anywhere.

/// What was seen lately.
#[derive(Debug, Clone, Default)]
pub struct History {}
