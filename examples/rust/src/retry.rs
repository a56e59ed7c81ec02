//! When to send a call again. tonic reads no service config, so what `deploy/grpc-service-config-direct.json` says to
//! other languages is done here by hand.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

/// How long a call may take with all its repeats: longer than a server takes to be replaced.
const DEADLINE: Duration = Duration::from_secs(60);

/// Calls until there is an answer, an error that stays, or no time left. Only for calls that may be repeated: those
/// that read, those that the contract calls idempotent, and those that carry a request_id.
pub async fn retried<M: Clone, T>(
    message: M,
    mut call: impl AsyncFnMut(Request<M>) -> Result<Response<T>, Status>,
) -> Result<Response<T>, Status> {
    let deadline = Instant::now() + DEADLINE;
    let mut backoff = Backoff::default();
    loop {
        let mut request = Request::new(message.clone());
        // Tells the server how long somebody waits. The timer beside it counts connecting too.
        request.set_timeout(deadline - Instant::now());
        let answer = timeout_at(deadline, call(request)).await;
        let error = match answer {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error,
            Err(_) => return Err(Status::deadline_exceeded(format!("no answer within {DEADLINE:?}"))),
        };
        let pause = backoff.pause(&error);
        if !is_passing(&error) || Instant::now() + pause >= deadline {
            return Err(error);
        }
        eprintln!("no answer ({:?}: {}), trying again", error.code(), error.message());
        sleep(pause).await;
    }
}

/// Whether the same call may work if it is sent again: no server answered, or one said when to come again.
///
/// A connection that breaks in the middle of a call or a stream is UNKNOWN or INTERNAL to tonic, and CANCELLED where
/// the server closed it. A server that means one of these itself says so in an ErrorInfo.
pub fn is_passing(error: &Status) -> bool {
    match error.code() {
        Code::Unavailable => true,
        Code::ResourceExhausted => asked_for(error).is_some(),
        Code::Cancelled | Code::Internal | Code::Unknown => !is_from_sendoff(error),
        _ => false,
    }
}

/// How long the server wants to be left alone.
fn asked_for(error: &Status) -> Option<Duration> {
    error.get_details_retry_info().and_then(|info| info.retry_delay)
}

fn is_from_sendoff(error: &Status) -> bool {
    error.get_details_error_info().is_some_and(|info| info.domain == "sendoff")
}

/// Pauses from 0.2 s to 2 s, drawn between half and all, so that callers do not come back all at once; and never sooner
/// than the server asked for.
#[derive(Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    pub fn pause(&mut self, error: &Status) -> Duration {
        let longest = Duration::from_millis(200 * 2u64.pow(self.failures.min(4))).min(Duration::from_secs(2));
        self.failures += 1;
        let jitter = (1.0 + fastrand::f64()) / 2.0;
        longest.mul_f64(jitter).max(asked_for(error).unwrap_or_default())
    }
}
