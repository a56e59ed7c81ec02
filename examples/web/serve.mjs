// Serves the page, and hands its calls on to Sendoff with the API key, which a browser must never see.
//
// This is the place for a login of your own: whoever reaches this server may do what the key may.
// SENDOFF_URL, SENDOFF_API_KEY and SENDOFF_CA_FILE as in story.sh; PAGE_PORT is where to listen, default 8080.

import { readFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { pipeline } from "node:stream";

const { SENDOFF_URL = "http://127.0.0.1:8283", SENDOFF_API_KEY, SENDOFF_CA_FILE, PAGE_PORT = "8080" } = process.env;
const CA = SENDOFF_CA_FILE ? readFileSync(SENDOFF_CA_FILE) : undefined;
if (SENDOFF_API_KEY && !/^(https:|http:\/\/(127(\.\d+){3}|localhost|\[::1\])(:|\/|$))/.test(SENDOFF_URL)) {
  throw new Error(`the API key is not sent in the clear to ${SENDOFF_URL}: use https`);
}
const FILES = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/story.js": ["story.js", "text/javascript; charset=utf-8"],
};
const HANDED_ON = ["accept", "content-type", "content-length", "idempotency-key", "last-event-id"];

const server = createServer((request, response) => {
  const { pathname, search } = new URL(request.url, "http://page"); // `..` is resolved here
  if (!isOfThePage(request)) return answer(response, 403, "only for the page that comes from here\n");
  if (pathname === "/readyz" || pathname.startsWith("/v1/")) return handOn(request, pathname + search, response);
  const [file, type] = FILES[pathname] ?? [];
  if (!file) return answer(response, 404, "not here\n");
  answer(response, 200, readFileSync(new URL(file, import.meta.url)), type);
});

/** Whether no other site's page asks: not from there, and not by a name of its own that leads here. */
function isOfThePage({ headers }) {
  const from = headers["sec-fetch-site"] ?? "none";
  const hosts = ["127.0.0.1", "localhost"].map((name) => `${name}:${server.address().port}`);
  return hosts.includes(headers.host) && ["same-origin", "none"].includes(from);
}

function handOn(request, path, response) {
  const headers = SENDOFF_API_KEY ? { authorization: `Bearer ${SENDOFF_API_KEY}` } : {};
  for (const name of HANDED_ON) if (request.headers[name]) headers[name] = request.headers[name];
  const send = SENDOFF_URL.startsWith("https:") ? httpsRequest : httpRequest;
  const asked = send(new URL(path, SENDOFF_URL), { method: request.method, headers, ca: CA });
  asked.on("response", (answered) => {
    response.writeHead(answered.statusCode, answered.headers);
    pipeline(answered, response, () => {}); // whichever side goes, the other is ended
  });
  asked.on("error", (error) => (response.headersSent ? response.destroy() : answer(response, 502, `${error.code}\n`)));
  response.on("close", () => asked.destroy());
  request.pipe(asked);
}

function answer(response, status, body, type = "text/plain; charset=utf-8") {
  response.writeHead(status, { "content-type": type, "x-content-type-options": "nosniff" }).end(body);
}

server.listen(Number(PAGE_PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
