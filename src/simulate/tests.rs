//! A whole comparison, from input to output.
