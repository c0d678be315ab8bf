//! How many files the process may have open. Connections to many brokers need more than the 1,024
//! that a process often starts with.

use tracing::{debug, warn};

/// Raises the soft limit to the hard one, which is what the administrator allows.
pub fn raise_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => debug!(limit, "raised the limit of open files"),
        Err(error) => {
            warn!(%error, "cannot raise the limit of open files: many Kafka brokers may need more than there are");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise_limit();
        let (soft, hard) = rlimit::Resource::NOFILE.get().unwrap();
        assert_eq!(soft, hard);
    }
}
