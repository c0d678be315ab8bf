//! The plant's pieces, and what holds for every run.
