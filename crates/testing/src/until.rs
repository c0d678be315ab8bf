//! Waiting for conditions with a deadline, and saying what was last seen when it passes.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(200);

/// Asks until there is an answer; panics after `within` with what was last seen instead.
pub async fn until<T, F, A>(within: Duration, what: &str, mut ask: F) -> T
where
    F: FnMut() -> A,
    A: Future<Output = Result<T, String>>,
{
    let began = Instant::now();
    loop {
        let seen = match ask().await {
            Ok(answer) => return answer,
            Err(seen) => seen,
        };
        assert!(
            began.elapsed() < within,
            "{what}: not within {within:?}; last seen: {seen}"
        );
        tokio::time::sleep(STEP).await;
    }
}

/// Asks for as long as `lasting`; panics at the first answer that is not as it should be.
pub async fn throughout<F, A>(lasting: Duration, what: &str, mut ask: F)
where
    F: FnMut() -> A,
    A: Future<Output = Result<(), String>>,
{
    let began = Instant::now();
    while began.elapsed() < lasting {
        if let Err(seen) = ask().await {
            panic!("{what}: broken after {:?}: {seen}", began.elapsed());
        }
        tokio::time::sleep(STEP).await;
    }
}

/// `Ok` if both are equal, else what was seen.
pub fn same<T: PartialEq + Debug>(seen: &T, wanted: &T) -> Result<(), String> {
    if seen == wanted {
        Ok(())
    } else {
        Err(format!("{seen:?} instead of {wanted:?}"))
    }
}

/// So many seconds; deadlines of tests are full of them.
pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
