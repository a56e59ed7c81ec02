// Runs the page that is served at the given address: its own script, with as little of a browser as it needs.
// What it writes into its element `story` goes to stdout, what it writes beside it to stderr.

const address = process.argv[2];
const fetchFrom = globalThis.fetch;
globalThis.fetch = (path, options) => fetchFrom(new URL(path, address), options);

const textOf = async (path) => (await fetch(path)).text();
const moduleOf = (source) => `data:text/javascript,${encodeURIComponent(source)}`;

class Element {
  #text = "";
  constructor(stream) {
    this.stream = stream;
  }
  get textContent() {
    return this.#text;
  }
  set textContent(text) {
    this.stream.write(text.slice(this.#text.length));
    this.#text = text;
  }
}

const elements = { start: {}, story: new Element(process.stdout), beside: new Element(process.stderr) };
globalThis.document = { getElementById: (id) => elements[id] };

const [, script] = (await textOf("/")).match(/<script type="module">([^]*)<\/script>/);
await import(moduleOf(script.replace("./story.js", moduleOf(await textOf("/story.js")))));
await elements.start.onclick();
