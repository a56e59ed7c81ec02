// Everything that a caller does with Sendoff, once: see the headings below. Copy from here.

import { randomUUID } from "node:crypto";

import { HealthCheckRequest, HealthCheckResponse_ServingStatus } from "../gen/health/v1/health.js";
import { RespondToActionsRequest } from "../gen/sendoff/v1/action_service.js";
import { CreateAgentRequest } from "../gen/sendoff/v1/agent_service.js";
import { CreateBlockRequest } from "../gen/sendoff/v1/block_service.js";
import { ActionDecision } from "../gen/sendoff/v1/input_message.js";
import type { Message } from "../gen/sendoff/v1/message.js";
import { type Run, RunStatus } from "../gen/sendoff/v1/run.js";
import { CancelRunRequest, CreateMessageAsyncRequest, WaitRunRequest } from "../gen/sendoff/v1/run_service.js";
import { ListToolsRequest } from "../gen/sendoff/v1/tool_service.js";
import { call, connect, errorInfo, isServiceError } from "./connection.js";
import { watch } from "./watch.js";

/** Closed: no other status of an ended run will ever be added. */
const ENDED = [RunStatus.RUN_STATUS_COMPLETED, RunStatus.RUN_STATUS_FAILED, RunStatus.RUN_STATUS_CANCELLED];

type Clients = ReturnType<typeof connect>;

async function story(clients: Clients): Promise<void> {
  await checkHealth(clients);
  const agentId = await createAgent(clients);
  const run = await send(clients, agentId, "Why do ships have bells?");
  await follow(clients, run.id);
  console.log(`ended: ${statusName(await waitForEnd(clients, run.id))}`);
  await cancel(clients, agentId);
  await approve(clients);
}

async function checkHealth({ health }: Clients): Promise<void> {
  const { response } = await call(health.check.bind(health), HealthCheckRequest.fromPartial({ service: "" }));
  console.log(`health: ${HealthCheckResponse_ServingStatus[response.status]}`);
}

/** A `requestId` makes the call safe to repeat, by the channel or by you: made once, kept for every attempt. */
async function createAgent({ agents }: Clients): Promise<string> {
  const request = CreateAgentRequest.fromPartial({ agent: { name: "boatswain" }, requestId: randomUUID() });
  const { response: agent } = await call(agents.createAgent.bind(agents), request);
  console.log(`agent: ${agent.id}`);
  return agent.id;
}

/** Once this has returned the run is durable. The same request again is the same run. */
async function send({ runs }: Clients, agentId: string, text: string): Promise<Run> {
  const request = CreateMessageAsyncRequest.fromPartial({
    agentId,
    payload: { $case: "input", value: { form: { $case: "text", value: text } } },
    requestId: randomUUID(),
  });
  const { response: run } = await call(runs.createMessageAsync.bind(runs), request);
  console.log(`run: ${run.id}`);
  const again = await call(runs.createMessageAsync.bind(runs), request);
  const replayed = again.header.get("idempotency-replayed").includes("true");
  console.log(`again: ${again.response.id}${replayed ? " replayed" : ""}`);
  return run;
}

async function follow({ runs }: Clients, runId: string): Promise<void> {
  let text = "";
  // A piece that `replaces` is all of its part so far: after a cut the text is told anew.
  const events = watch(runs, runId, ({ delta, replaces }) => {
    if (delta?.$case === "text") process.stderr.write(replaces ? `\n${delta.value}` : delta.value);
  });
  for await (const { sequence, event } of events) {
    // `undefined`: a kind of event that these protos do not know yet.
    console.log(`event ${sequence}: ${event ? snakeCase(event.$case) : "unknown"}`);
    if (event?.$case === "message") text = assistantText(event.value) ?? text;
  }
  process.stderr.write("\n");
  console.log(`text: ${text}`);
}

/** One call waits for 55 s at most, and its time being over is no error: ask until the run has ended. */
async function waitForEnd({ runs }: Clients, runId: string): Promise<Run> {
  const request = WaitRunRequest.fromPartial({ runId, timeout: { seconds: 30n } });
  for (;;) {
    const { response: run } = await call(runs.waitRun.bind(runs), request, 45);
    if (ENDED.includes(run.status)) return run;
  }
}

/** A message for later, which is taken back; a run that works already is cancelled in the same way. */
async function cancel(clients: Clients, agentId: string): Promise<void> {
  const { runs } = clients;
  const inAnHour = BigInt(Math.floor(Date.now() / 1_000)) + 3_600n;
  const request = CreateMessageAsyncRequest.fromPartial({
    agentId,
    payload: { $case: "input", value: { form: { $case: "text", value: "And why do they ring them?" } } },
    requestId: randomUUID(),
    scheduling: { startTime: { seconds: inAnHour } },
  });
  const { response: run } = await call(runs.createMessageAsync.bind(runs), request);
  await call(runs.cancelRun.bind(runs), CancelRunRequest.fromPartial({ runId: run.id, reason: "not needed any more" }));
  console.log(`cancelled: ${statusName(await waitForEnd(clients, run.id))}`);
}

/** An agent that has to ask before it writes into its memory: its run stops, and the answer starts another one. */
async function approve(clients: Clients): Promise<void> {
  const { runs, actions } = clients;
  const agentId = await createKeeper(clients);
  const request = CreateMessageAsyncRequest.fromPartial({
    agentId,
    payload: { $case: "input", value: { form: { $case: "text", value: "I like ships." } } },
    requestId: randomUUID(),
  });
  const { response: accepted } = await call(runs.createMessageAsync.bind(runs), request);
  const stopped = await waitForEnd(clients, accepted.id);
  for (const action of stopped.pendingActions) console.log(`asks for: ${action.call?.name}`);
  const decisions = stopped.pendingActions.map(({ toolCallId }) =>
    ActionDecision.fromPartial({ decision: { $case: "approval", value: { toolCallId, approve: true } } }),
  );
  const answer = RespondToActionsRequest.fromPartial({
    agentId,
    conversationId: "default",
    decisions,
    requestId: randomUUID(),
  });
  const { response } = await call(actions.respondToActions.bind(actions), answer);
  if (!response.run) throw new Error(`${response.stillPending.length} actions still wait for an answer`);
  console.log(`approved: ${statusName(await waitForEnd(clients, response.run.id))}`);
}

async function createKeeper({ agents, blocks, tools }: Clients): Promise<string> {
  const listing = await call(tools.listTools.bind(tools), ListToolsRequest.fromPartial({ names: ["memory_insert"] }));
  const [tool] = listing.response.tools;
  if (!tool) throw new Error("the server has no tool memory_insert");
  const { response: block } = await call(
    blocks.createBlock.bind(blocks),
    CreateBlockRequest.fromPartial({
      block: { label: "human", description: "Whom you talk to" },
      requestId: randomUUID(),
    }),
  );
  const args = { json: JSON.stringify({ label: "human", new_string: "Likes ships." }) };
  const request = CreateAgentRequest.fromPartial({
    agent: {
      name: "keeper",
      blockIds: [block.id],
      toolIds: [tool.id],
      toolRules: [
        { toolName: tool.name, type: { $case: "runFirst", value: { args } } },
        { toolName: tool.name, type: { $case: "requiresApproval", value: {} } },
      ],
    },
    requestId: randomUUID(),
  });
  const { response: agent } = await call(agents.createAgent.bind(agents), request);
  return agent.id;
}

/** The words of an assistant message, which are text or parts. */
function assistantText({ kind }: Message): string | undefined {
  if (kind?.$case !== "assistantMessage") return undefined;
  const form = kind.value.content?.form;
  if (form?.$case !== "parts") return form?.value;
  return form.value.parts.map(({ part }) => (part?.$case === "text" ? part.value.text : "")).join("");
}

/** What is shown of a number that these protos have no name for is the number. */
function statusName(run: Run): string {
  return RunStatus[run.status] ?? String(run.status);
}

/** The name in the contract of what is called `stateChanged` here. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const clients = connect();
try {
  await story(clients);
} catch (error) {
  if (!isServiceError(error)) throw error;
  const info = errorInfo(error);
  console.error(`${error.message}${info ? ` (${info.reason} ${JSON.stringify(info.metadata)})` : ""}`);
  console.error("Is SENDOFF_ADDRESS a Sendoff server, and are SENDOFF_API_KEY and SENDOFF_CA_FILE those of it?");
  process.exitCode = 1;
} finally {
  clients.close();
}
