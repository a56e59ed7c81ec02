// One channel to the server, or to all of its replicas, and one way to make a call.

import { readFileSync } from "node:fs";

import * as grpc from "@grpc/grpc-js";
import { ErrorInfo } from "nice-grpc-error-details";
import { Status } from "nice-grpc-error-details/lib/proto/google/rpc/status.js";

import { HealthClient } from "../gen/health/v1/health.js";
import { ActionServiceClient } from "../gen/sendoff/v1/action_service.js";
import { AgentServiceClient } from "../gen/sendoff/v1/agent_service.js";
import { BlockServiceClient } from "../gen/sendoff/v1/block_service.js";
import { RunServiceClient } from "../gen/sendoff/v1/run_service.js";
import { ToolServiceClient } from "../gen/sendoff/v1/tool_service.js";

// Which calls may be repeated, and how: the file that every language shares. A copy of it belongs into your program.
const SERVICE_CONFIG = readFileSync(
  new URL("../../../../deploy/grpc-service-config-direct.json", import.meta.url),
  "utf8",
);

const OPTIONS: grpc.ChannelOptions = {
  "grpc.service_config": SERVICE_CONFIG,
  // A peer that is gone without a word is noticed after 40 s. The server allows pings every 10 s.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // A server that is back is found within a second or two; the default goes up to two minutes.
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // One message may carry pictures; 4 MiB is the default.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  // A proxy for the web does not lead to a service within.
  "grpc.enable_http_proxy": 0,
};

/** A stub per service, all on one channel, configured by SENDOFF_ADDRESS, SENDOFF_API_KEY and SENDOFF_CA_FILE. */
export function connect(environment = process.env) {
  const address = environment.SENDOFF_ADDRESS || "127.0.0.1:50051";
  const caFile = environment.SENDOFF_CA_FILE;
  const key = environment.SENDOFF_API_KEY;
  if (key && !caFile && !isLocal(address)) {
    throw new Error(`the API key is not sent in the clear to ${address}: set SENDOFF_CA_FILE`);
  }
  const credentials = caFile
    ? grpc.credentials.createSsl(readFileSync(caFile))
    : grpc.credentials.createInsecure();
  const channelOverride = new grpc.Channel(address, credentials, OPTIONS);
  const options = { channelOverride, interceptors: key ? [bearer(key)] : [] };
  return {
    health: new HealthClient(address, credentials, options),
    agents: new AgentServiceClient(address, credentials, options),
    runs: new RunServiceClient(address, credentials, options),
    actions: new ActionServiceClient(address, credentials, options),
    blocks: new BlockServiceClient(address, credentials, options),
    tools: new ToolServiceClient(address, credentials, options),
    close: () => channelOverride.close(),
  };
}

/** Whether all of a target, `dns:///localhost:50051` or `ipv4:127.0.0.1:1,127.0.0.1:2`, is on this machine. */
function isLocal(target: string): boolean {
  const hosts = target.replace(/^(dns|ipv4|ipv6):(\/\/[^/]*\/)?/, "").split(",");
  return hosts.every((host) => /^(127(\.\d+){3}|localhost|\[::1\])(:\d+)?$/.test(host));
}

/** Puts the key on every call. Call credentials would do it too, but only on channels with TLS. */
function bearer(key: string): grpc.Interceptor {
  return (options, nextCall) =>
    new grpc.InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.set("authorization", `Bearer ${key}`);
        next(metadata, listener);
      },
    });
}

type Unary<Request, Response> = (
  request: Request,
  metadata: grpc.Metadata,
  options: Partial<grpc.CallOptions>,
  callback: (error: grpc.ServiceError | null, response: Response) => void,
) => grpc.ClientUnaryCall;

/**
 * Makes a call; `header` is the initial metadata. Waits for a server that is away, until the deadline: the service
 * config repeats calls that were cut, and without `waitForReady` each attempt would fail at once.
 */
export function call<Request, Response>(
  method: Unary<Request, Response>,
  request: Request,
  deadlineS = 30,
): Promise<{ response: Response; header: grpc.Metadata }> {
  return new Promise((resolve, reject) => {
    let header = new grpc.Metadata();
    const metadata = new grpc.Metadata({ waitForReady: true });
    const deadline = Date.now() + deadlineS * 1_000;
    method(request, metadata, { deadline }, (error, response) =>
      error ? reject(error) : resolve({ response, header }),
    ).on("metadata", (received) => (header = received));
  });
}

/** Why the server refused, as data: `domain` is "sendoff", `reason` is stable. Undefined: the server did not say. */
export function errorInfo(error: grpc.ServiceError): ErrorInfo | undefined {
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!Buffer.isBuffer(packed)) return undefined;
  const detail = Status.decode(packed).details.find((any) => any.typeUrl.endsWith("/google.rpc.ErrorInfo"));
  return detail && ErrorInfo.decode(detail.value);
}

export function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}
