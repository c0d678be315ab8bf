//! Laws on what they see.
