//! Whether this process is the leader.

use std::sync::{Arc, OnceLock};

use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether this process may work, and until when. Clones share it.
#[derive(Debug, Clone)]
pub struct Leadership {
    term: watch::Sender<Term>,
    /// How far this process's clock is ahead of its predecessor's, if that matters.
    ahead: Arc<OnceLock<SignedDuration>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    /// Another process leads, or none.
    None,
    /// Renewed; without another renewal it ends then.
    Until(Instant),
    /// There is no other process.
    Unlimited,
}

impl Leadership {
    /// Of a process that is the only one.
    pub fn unlimited() -> Self {
        Self::of(Term::Unlimited)
    }

    /// Of a process that waits for the Lease.
    pub(super) fn none() -> Self {
        Self::of(Term::None)
    }

    fn of(term: Term) -> Self {
        Self {
            term: watch::Sender::new(term),
            ahead: Arc::default(),
        }
    }

    /// How far this process's wall clock is ahead of its predecessor's; zero if they differ by
    /// little, or if that is not known. The times in a status are the predecessor's.
    pub fn ahead_of_predecessor(&self) -> SignedDuration {
        self.ahead.get().copied().unwrap_or_default()
    }

    /// To be called before the first renewal.
    pub(super) fn set_ahead_of_predecessor(&self, ahead: SignedDuration) {
        self.ahead.get_or_init(|| ahead);
    }

    /// Whether this process leads at this moment. Ask before each write: the process may have been
    /// suspended since it was elected.
    pub fn holds(&self) -> bool {
        match *self.term.borrow() {
            Term::None => false,
            Term::Until(end) => Instant::now() < end,
            Term::Unlimited => true,
        }
    }

    /// Waits until this process is elected.
    pub async fn elected(&self) {
        let mut term = self.term.subscribe();
        // Fails only without a sender, and `self` is one.
        let _ = term.wait_for(|term| *term != Term::None).await;
    }

    pub(super) fn renew(&self, end: Instant) {
        self.term.send_replace(Term::Until(end));
    }

    pub(super) fn end(&self) {
        self.term.send_replace(Term::None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_by_time_alone() {
        let leadership = Leadership::none();
        assert!(!leadership.holds());
        assert!(leadership.elected().now_or_never().is_none());
        leadership.renew(Instant::now() + Duration::from_secs(10));
        leadership.elected().await;
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(leadership.holds());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!leadership.holds());
    }

    #[tokio::test]
    async fn a_process_alone_leads_always() {
        let leadership = Leadership::unlimited();
        leadership.elected().await;
        assert!(leadership.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn clones_learn_of_the_end() {
        let leadership = Leadership::none();
        let clone = leadership.clone();
        leadership.renew(Instant::now() + Duration::from_secs(10));
        assert!(clone.holds());
        leadership.end();
        assert!(!clone.holds());
    }
}
