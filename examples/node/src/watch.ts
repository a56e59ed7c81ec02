// A run's log, followed to its end over broken connections and restarts of the server.

import { setTimeout as sleep } from "node:timers/promises";

import { status } from "@grpc/grpc-js";

import type { MessageDelta, RunEvent } from "../gen/sendoff/v1/run_event.js";
import {
  type RunServiceClient,
  StreamEnd_Reason,
  WatchRunRequest,
  type WatchRunResponse,
} from "../gen/sendoff/v1/run_service.js";
import { errorInfo, isServiceError } from "./connection.js";

const PATIENCE_MS = 60_000;
const SILENCE_MS = 45_000; // three heartbeats
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 2_000;

/** Every event of a run once and in order, `finished` last. Text being written goes to `onDelta` as it comes. */
export async function* watch(
  runs: RunServiceClient,
  runId: string,
  onDelta: (delta: MessageDelta) => void,
): AsyncGenerator<RunEvent, void> {
  let sequence = 0n; // of the last event that was given out: where to go on
  let alive = Date.now();
  let pauseMs = FIRST_PAUSE_MS;
  for (;;) {
    let cut = "the stream ended";
    // No deadline: keep-alive tells of a connection that is dead, missing heartbeats of a stream behind a proxy.
    const stream = runs.watchRun(
      WatchRunRequest.fromPartial({
        runId,
        position: { $case: "afterSequence", value: sequence },
        includeDeltas: true,
      }),
    );
    stream.on("error", () => {}); // of the cancel() below; without a listener it would end the process
    const silence = setTimeout(() => stream.cancel(), SILENCE_MS);
    try {
      for await (const { frame } of stream as AsyncIterable<WatchRunResponse>) {
        alive = Date.now();
        silence.refresh();
        if (frame?.$case === "delta") onDelta(frame.value);
        if (frame?.$case === "end") cut = StreamEnd_Reason[frame.value.reason] ?? String(frame.value.reason);
        if (frame?.$case !== "event") continue; // also what a newer server may send: unknown frames are undefined
        sequence = frame.value.sequence;
        pauseMs = FIRST_PAUSE_MS;
        yield frame.value;
        if (frame.value.event?.$case === "finished") return;
      }
    } catch (error) {
      if (!isServiceError(error) || !isCut(error) || Date.now() - alive > PATIENCE_MS) throw error;
      cut = status[error.code];
    } finally {
      clearTimeout(silence);
      stream.cancel();
    }
    console.error(`watch cut (${cut}), going on after event ${sequence}`);
    await sleep(pauseMs * (0.5 + Math.random() / 2)); // jitter: those who were cut together do not return together
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}

/** Whether the connection broke, rather than the server refused: UNAVAILABLE, or a status that gRPC itself made up. */
function isCut(error: { code: status } & Parameters<typeof errorInfo>[0]): boolean {
  if (error.code === status.UNAVAILABLE) return true;
  const madeUp = [status.CANCELLED, status.INTERNAL, status.UNKNOWN].includes(error.code);
  return madeUp && errorInfo(error)?.domain !== "sendoff";
}
