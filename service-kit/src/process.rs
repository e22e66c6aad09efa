//! The beginning of a process.

/// Runs a process's work as a task, next to those that it starts. What `#[tokio::main]` polls itself has a thread of its own, so that
/// everything that such work and a task tell each other would cross threads, and each time wake another one.
///
/// # Panics
/// When the work does.
pub async fn as_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        // Nobody aborts it, so it panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_its_panic_goes_on() {
        assert_eq!(as_task(async { 1 }).await, 1);
        let panicked = tokio::spawn(as_task(async { panic!("on purpose") })).await;
        assert!(panicked.is_err_and(|error| error.is_panic()));
    }
}
