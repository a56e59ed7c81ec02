// Checks callbacks with the standard's own library for JavaScript, as a receiver would.
//
// In: one JSON object a line, {"secret", "headers", "body"}; the body in base64, because it is bytes.
// Out: one a line, {"payload"} of what verifies, {"refused"} with the library's words for the rest.
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

for (const line of require("fs").readFileSync(0, "utf8").trim().split("\n")) {
  const { secret, headers, body } = JSON.parse(line);
  console.log(JSON.stringify(verdict(secret, headers, Buffer.from(body, "base64"))));
}

function verdict(secret, headers, body) {
  try {
    return { payload: new Webhook(secret).verify(body, headers) };
  } catch (error) {
    if (error instanceof WebhookVerificationError) return { refused: error.message };
    throw error;
  }
}
