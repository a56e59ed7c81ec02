//! Follows a run over as many streams as it takes.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};

use crate::connection::Authorized;
use crate::retry::{Backoff, is_passing};
use crate::v1::run_event::Event;
use crate::v1::run_service_client::RunServiceClient;
use crate::v1::watch_run_request::Position;
use crate::v1::watch_run_response::Frame;
use crate::v1::{MessageDelta, RunEvent, WatchRunRequest};

/// How long to go on without any frame.
const PATIENCE: Duration = Duration::from_secs(60);
/// Three heartbeats: a stream that is silent for so long is dead, whatever TCP says.
const SILENCE: Duration = Duration::from_secs(45);

/// What a watch hands on.
pub enum Entry {
    Event(RunEvent),
    Delta(MessageDelta),
}

/// Hands on the events of a run, each once and in order, until the run has finished.
pub async fn watch(
    runs: &mut RunServiceClient<Authorized>,
    run_id: &str,
    mut take: impl FnMut(Entry),
) -> Result<(), Status> {
    let mut place = Place { seen: 0, heard: Instant::now() };
    let mut backoff = Backoff::default();
    loop {
        let before = place.heard;
        let error = match stream(runs, run_id, &mut place, &mut take).await {
            Ok(true) => return Ok(()),
            Ok(false) => Status::unavailable("the server ended the stream before the run had finished"),
            Err(error) => error,
        };
        if place.heard > before {
            backoff = Backoff::default();
        }
        if !is_passing(&error) || place.heard.elapsed() > PATIENCE {
            return Err(error);
        }
        eprintln!("watch cut ({:?}), going on after event {}", error.code(), place.seen);
        sleep(backoff.pause(&error)).await;
    }
}

/// How far a watch is.
struct Place {
    /// The sequence of the last event: all that it takes to go on after a cut.
    seen: i64,
    /// When the last frame came, of whatever kind.
    heard: Instant,
}

/// One stream. True: the run has finished; false: the stream has ended before that.
async fn stream(
    runs: &mut RunServiceClient<Authorized>,
    run_id: &str,
    place: &mut Place,
    take: &mut impl FnMut(Entry),
) -> Result<bool, Status> {
    let request = Request::new(WatchRunRequest {
        run_id: run_id.into(),
        position: Some(Position::AfterSequence(place.seen)),
        include_deltas: true,
        ..Default::default()
    });
    // No deadline: a run may take hours. Keep-alive and heartbeats tell whether somebody is still there.
    let mut frames = timeout(SILENCE, runs.watch_run(request)).await.map_err(silent)??.into_inner();
    while let Some(response) = timeout(SILENCE, frames.message()).await.map_err(silent)?? {
        place.heard = Instant::now();
        match response.frame {
            Some(Frame::Event(event)) if event.sequence > place.seen => {
                place.seen = event.sequence;
                let finished = matches!(event.event, Some(Event::Finished(_)));
                take(Entry::Event(event));
                if finished {
                    return Ok(true);
                }
            }
            Some(Frame::Delta(delta)) => take(Entry::Delta(delta)),
            Some(Frame::End(_)) => return Ok(false),
            // A heartbeat, an event that we have, or (None) a frame that a newer server knows.
            _ => {}
        }
    }
    Ok(false)
}

fn silent(_: tokio::time::error::Elapsed) -> Status {
    Status::unavailable(format!("the stream brought nothing for {SILENCE:?}, not even a heartbeat"))
}
