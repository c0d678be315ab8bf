//! The open-file limit. Connections to many brokers need more than the usual 1,024.

use tracing::{debug, warn};

/// Raises the soft limit to the hard limit, which the administrator sets.
pub fn raise_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => debug!(limit, "raised the open-file limit"),
        Err(error) => {
            warn!(
                %error,
                "cannot raise the open-file limit: connections to many Kafka brokers may exceed it"
            );
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
