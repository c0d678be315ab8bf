//! Loads as people have them.
