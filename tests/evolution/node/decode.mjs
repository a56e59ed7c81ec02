// Decodes recorded calls with the generated code of examples/node, encodes them again, and says what it found: for each
// file of calls a line "PATH messages=N unknown=N". Ends with an error if anything is not the same afterwards.

import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

const GENERATED = new URL("../../../examples/node/dist/gen/sendoff/v1/", import.meta.url);

/** The calls of all services by their paths, each with functions that read and write its messages. */
async function methods() {
  const found = new Map();
  for (const file of readdirSync(GENERATED).filter((name) => name.endsWith("_service.js"))) {
    const module = await import(new URL(file, GENERATED));
    for (const [name, service] of Object.entries(module)) {
      if (name.endsWith("ServiceService")) {
        for (const method of Object.values(service)) found.set(method.path.slice(1), method);
      }
    }
  }
  return found;
}

/** Nothing may be lost or changed on the way. Bytes may change places: unknown fields go to the end. */
function check(raw, read, write) {
  const message = read(raw);
  const written = Buffer.from(write(message));
  if (written.length !== raw.length || !isDeepStrictEqual(read(written), message)) {
    throw new Error(`${raw.length} bytes became ${written.length}`);
  }
  return countUnknown(message);
}

/** Messages that hold fields which the generated code does not know. */
function countUnknown(value) {
  if (typeof value !== "object" || value === null || Buffer.isBuffer(value)) return 0;
  const { _unknownFields, ...known } = value;
  const own = _unknownFields && Object.keys(_unknownFields).length > 0 ? 1 : 0;
  return Object.values(known).reduce((count, each) => count + countUnknown(each), own);
}

const known = await methods();
for (const path of process.argv.slice(2)) {
  let messages = 0;
  let unknown = 0;
  for (const line of readFileSync(path, "utf8").trimEnd().split("\n")) {
    const { method: name, requests, responses = [] } = JSON.parse(line);
    const method = known.get(name);
    if (!method) throw new Error(`no generated code for ${name}`);
    const parts = [
      [requests, method.requestDeserialize, method.requestSerialize],
      [responses, method.responseDeserialize, method.responseSerialize],
    ];
    for (const [raws, read, write] of parts) {
      for (const raw of raws) {
        try {
          unknown += check(Buffer.from(raw, "base64"), read, write);
        } catch (error) {
          throw new Error(`${path}: ${name}`, { cause: error });
        }
        messages += 1;
      }
    }
  }
  console.log(`${path} messages=${messages} unknown=${unknown}`);
}
