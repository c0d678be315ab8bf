//! One file per subcommand.

pub mod crd;
