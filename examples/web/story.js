// Everything that a caller does with Sendoff, once, with `fetch`: for pages, and for every program that has it.

const PATIENCE_MS = 60_000;
const SILENCE_MS = 45_000; // heartbeats come every 15 s
const CALL_MS = 65_000; // a wait of 55 s is the longest answer to wait for

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const jittered = (ms) => ms * (0.5 + Math.random() / 2);

/** The server said no: `status` is HTTP's, `reason` is stable where there is one. */
export class Refused extends Error {
  constructor(path, { status, headers }, body) {
    super(`${path}: ${status} ${body}`);
    this.status = status;
    this.retryAfterMs = 1_000 * (Number(headers.get("retry-after")) || 0);
    try {
      this.reason = JSON.parse(body).reason;
    } catch {} // a proxy's page
  }
}

/** `base` is the server's URL, "" where the page comes from the same place; `headers` go with every call. */
export class Sendoff {
  constructor(base = "", headers = {}) {
    this.base = base;
    this.headers = headers;
  }

  /**
   * One call: its answer as JSON, and the answer's headers. A server that is away is asked again, for a minute;
   * `repeat: false` is for calls of which a second one would do more than the first.
   */
  async call(method, path, { body, key, repeat = true } = {}) {
    const headers = { ...this.headers, "content-type": "application/json" };
    if (key) headers["idempotency-key"] = key;
    for (const until = Date.now() + PATIENCE_MS; ; ) {
      try {
        const signal = AbortSignal.timeout(CALL_MS);
        const response = await fetch(this.base + path, { method, headers, signal, body: body && JSON.stringify(body) });
        const text = await response.text();
        if (response.ok) return { json: JSON.parse(text), headers: response.headers };
        throw new Refused(path, response, text);
      } catch (error) {
        // 429 and 503: it took nothing. Others may have been taken: `fetch` does not tell how far it came.
        const tookNothing = error instanceof Refused && [429, 503].includes(error.status);
        const unknown = !(error instanceof Refused) || [502, 504].includes(error.status);
        if (!(tookNothing || (unknown && repeat)) || Date.now() > until) throw error;
        await sleep((error.retryAfterMs ?? 0) + jittered(1_000));
      }
    }
  }

  /** Every event of a run once and in order, `finished` last, over cut connections and restarts of the server. */
  async *watch(run, { onDelta = () => {}, note = () => {} } = {}) {
    let sequence = 0; // of the last event that was given out: where to go on
    let alive = Date.now();
    let pauseMs = 200;
    for (;;) {
      try {
        const path = `/v1/runs/${run}:watch?include_deltas=true&after_sequence=${sequence}`;
        for await (const { name, data } of this.#frames(path)) {
          alive = Date.now();
          if (name === "delta") onDelta(data);
          if (name !== "message") continue; // by which server-sent events mean: without a name
          sequence = data.sequence;
          pauseMs = 200;
          yield data;
          if (data.type === "finished") return;
        }
      } catch (error) {
        const isFinal = error instanceof Refused && error.status < 500 && error.status !== 429;
        if (isFinal || Date.now() - alive > PATIENCE_MS) throw error;
      }
      note(`watch cut, going on after event ${sequence}`);
      await sleep(jittered(pauseMs));
      pauseMs = Math.min(2 * pauseMs, 2_000);
    }
  }

  /** The server-sent events of one answer, until it ends or breaks off. */
  async *#frames(path) {
    const silence = new AbortController();
    let alarm = setTimeout(() => silence.abort(new Error("silence")), SILENCE_MS);
    try {
      const response = await fetch(this.base + path, { headers: this.headers, signal: silence.signal });
      if (!response.ok) throw new Refused(path, response, await response.text());
      let rest = "";
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        clearTimeout(alarm);
        alarm = setTimeout(() => silence.abort(new Error("silence")), SILENCE_MS);
        const blocks = (rest + read.value).split("\n\n");
        rest = blocks.pop();
        yield* blocks.map(parsed).filter((frame) => frame);
      }
    } finally {
      clearTimeout(alarm);
      silence.abort(); // ends the request where the reader left in its middle
    }
  }

  /** One call waits for 55 s at most, and its time being over is no error: ask until the run has ended. */
  async waitForEnd(run) {
    for (;;) {
      const { json } = await this.call("GET", `/v1/runs/${run}:wait?timeout=30s`);
      if (["completed", "failed", "cancelled"].includes(json.status)) return json.status.toUpperCase();
    }
  }

  /** Once this has returned the run is durable. The key is made once and kept for every attempt. */
  async send(agent, body, key = crypto.randomUUID()) {
    const { json, headers } = await this.call("POST", `/v1/agents/${agent}/messages/async`, { body, key });
    return { run: json.id, replayed: headers.get("idempotency-replayed") === "true" };
  }
}

function parsed(block) {
  const lines = block.split("\n");
  const value = (field) => lines.find((line) => line.startsWith(`${field}: `))?.slice(field.length + 2);
  const data = value("data");
  return data && data !== "[DONE]" ? { name: value("event") ?? "message", data: JSON.parse(data) } : undefined;
}

/** `print` gets the lines of the story, `note` what happens beside it, `write` the text as it is written. */
export async function story(sendoff, { print, note, write }) {
  await sendoff.call("GET", "/readyz");
  print("health: SERVING");
  // Agents have no idempotency key at this door: a request that was cut off is not sent again. Unless told otherwise
  // they are given the tools for memory.
  const boatswain = { name: "boatswain", include_base_tools: false };
  const { json: agent } = await sendoff.call("POST", "/v1/agents/", { body: boatswain, repeat: false });
  print(`agent: ${agent.id}`);

  const question = { input: "Why do ships have bells?" };
  const key = crypto.randomUUID();
  const { run } = await sendoff.send(agent.id, question, key);
  print(`run: ${run}`);
  const again = await sendoff.send(agent.id, question, key);
  print(`again: ${again.run}${again.replayed ? " replayed" : ""}`);

  let text = "";
  // A piece that `replaces` is all of its part so far: after a cut the text is told anew.
  const onDelta = ({ type, text, replaces }) => type === "text" && write(replaces ? `\n${text}` : text);
  for await (const event of sendoff.watch(run, { onDelta, note })) {
    // What is a message has the type of the message.
    print(`event ${event.sequence}: ${event.type.endsWith("_message") ? "message" : event.type}`);
    if (event.type === "assistant_message") text = textOf(event.content);
  }
  print(`text: ${text}`);
  print(`ended: ${await sendoff.waitForEnd(run)}`);
  await cancel(sendoff, agent.id, print);
  await approve(sendoff, print);
}

/** A message for later, which is taken back; a run that works already is cancelled in the same way. */
async function cancel(sendoff, agent, print) {
  const scheduling = { start_time: new Date(Date.now() + 3_600_000).toISOString() };
  const { run } = await sendoff.send(agent, { input: "And why do they ring them?", scheduling });
  await sendoff.call("POST", `/v1/runs/${run}:cancel`, { body: { reason: "not needed any more" } });
  print(`cancelled: ${await sendoff.waitForEnd(run)}`);
}

/** An agent that has to ask before it writes into its memory: its run stops, and the answer starts another one. */
async function approve(sendoff, print) {
  const agent = await createKeeper(sendoff);
  const { run } = await sendoff.send(agent, { input: "I like ships." });
  await sendoff.waitForEnd(run);
  const { actions } = (await sendoff.call("GET", `/v1/actions?run_id=${run}`)).json;
  for (const action of actions) print(`asks for: ${action.call.name}`);
  const decisions = actions.map(({ tool_call_id }) => ({ type: "approval", tool_call_id, approve: true }));
  const body = { agent_id: agent, decisions };
  const key = crypto.randomUUID();
  const { json } = await sendoff.call("POST", "/v1/conversations/default/actions:respond", { body, key });
  print(`approved: ${await sendoff.waitForEnd(json.run.id)}`);
}

async function createKeeper(sendoff) {
  const [tool] = (await sendoff.call("GET", "/v1/tools/?name=memory_insert")).json;
  const human = { label: "human", value: "", description: "Whom you talk to" };
  const { json: block } = await sendoff.call("POST", "/v1/blocks/", { body: human, repeat: false });
  const args = { label: "human", new_string: "Likes ships." };
  const body = {
    name: "keeper",
    include_base_tools: false,
    block_ids: [block.id],
    tool_ids: [tool.id],
    tool_rules: [
      { type: "run_first", tool_name: tool.name, args },
      { type: "requires_approval", tool_name: tool.name },
    ],
  };
  return (await sendoff.call("POST", "/v1/agents/", { body, repeat: false })).json.id;
}

const textOf = (content) =>
  typeof content === "string" ? content : content.map((part) => part.text ?? "").join("");
