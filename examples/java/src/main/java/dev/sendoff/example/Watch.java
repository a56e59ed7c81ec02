package dev.sendoff.example;

import static java.util.concurrent.TimeUnit.SECONDS;

import dev.sendoff.v1.RunEvent;
import dev.sendoff.v1.RunServiceGrpc;
import dev.sendoff.v1.WatchRunRequest;
import dev.sendoff.v1.WatchRunResponse;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/** A run's log to its end: every event once and in order, over as many streams as it takes. */
final class Watch {
  /** A server that is there sends a heartbeat after 15 s without anything else. */
  private static final long SILENCE_S = 45;

  /** How long nothing may come at all before the watch is given up. */
  private static final long PATIENCE_NS = SECONDS.toNanos(60);

  private final ManagedChannel channel;
  private final String runId;
  private final Consumer<RunEvent> onEvent;
  private long after; // sequence of the last event that was told; it is all that must be remembered
  private int failures; // in a row
  private long lastNews = System.nanoTime();

  private Watch(ManagedChannel channel, String runId, Consumer<RunEvent> onEvent) {
    this.channel = channel;
    this.runId = runId;
    this.onEvent = onEvent;
  }

  /** Tells the events one by one, and returns after `finished`. */
  static void follow(ManagedChannel channel, String runId, Consumer<RunEvent> onEvent)
      throws StatusException, InterruptedException {
    var watch = new Watch(channel, runId, onEvent);
    for (var cut = watch.stream(); cut != null; cut = watch.stream()) {
      watch.pauseAfter(cut);
    }
  }

  /** One stream. Null: the run has ended. Else what ended the stream before. */
  private StatusException stream() throws StatusException, InterruptedException {
    var request = WatchRunRequest.newBuilder().setRunId(runId).setAfterSequence(after).setIncludeDeltas(true).build();
    // No deadline: a run may take hours. Keep-alive finds out that nobody is there, heartbeats that nothing moves.
    var frames = RunServiceGrpc.newBlockingV2Stub(channel).watchRun(request);
    try {
      for (var frame = frames.read(SILENCE_S, SECONDS); frame != null; frame = frames.read(SILENCE_S, SECONDS)) {
        if (take(frame)) {
          return null;
        }
      }
      return Status.UNAVAILABLE.withDescription("the stream ended before the run").asException();
    } catch (TimeoutException silent) {
      return Status.UNAVAILABLE.withDescription("the stream is silent").asException();
    } catch (StatusException error) {
      if (!Errors.isCut(error)) {
        throw error;
      }
      return error;
    } finally {
      frames.cancel("done with this stream", null); // no effect on one that has ended; others would stay open
    }
  }

  /** Whether the frame was the last of the log. */
  private boolean take(WatchRunResponse frame) {
    if (!frame.hasEnd()) {
      lastNews = System.nanoTime();
    }
    if (frame.hasDelta()) { // text that is being written; its message event has it whole
      // One that replaces is all of its part so far: after a cut the text is told anew.
      System.err.print((frame.getDelta().getReplaces() ? "\n" : "") + frame.getDelta().getText());
    } else if (frame.hasEvent() && frame.getEvent().getSequence() > after) {
      failures = 0;
      after = frame.getEvent().getSequence();
      onEvent.accept(frame.getEvent());
      return frame.getEvent().hasFinished();
    }
    return false; // all else (heartbeats, why a stream ends, what newer servers send) changes nothing
  }

  private void pauseAfter(StatusException cut) throws StatusException, InterruptedException {
    if (System.nanoTime() - lastNews > PATIENCE_NS) {
      throw cut;
    }
    System.err.printf("%nwatch cut (%s), going on after event %d%n", cut.getStatus().getCode(), after);
    double longest = Math.min(2.0, 0.2 * Math.pow(2, Math.min(failures++, 10)));
    Thread.sleep((long) (1000 * longest * ThreadLocalRandom.current().nextDouble(0.5, 1.0)));
    // gRPC itself would leave a server alone for up to two minutes after some failures to connect.
    channel.resetConnectBackoff();
  }
}
