//! Waiting for conditions, with a deadline and a report of the last state.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(200);

/// Calls `ask` until it succeeds; panics after `within` with the last error.
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

/// Calls `ask` during `lasting`; panics at the first error.
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

/// `Ok` if both are equal, else an error with both values.
pub fn same<T: PartialEq + Debug>(seen: &T, wanted: &T) -> Result<(), String> {
    if seen == wanted {
        Ok(())
    } else {
        Err(format!("{seen:?} instead of {wanted:?}"))
    }
}

/// A duration of `seconds`.
pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
