// switchyard.js: a model that `syc` compiled to WebAssembly, in a browser or in node. No dependency, no server code.
//
//   const model = await loadModel(wasmBytes, "vit", weightBytes);
//   const [logits] = model.call("classify", {B: 1}, [pixels], [10]);
//
// Memory of the module: its own data | the context and arena | weights | the call's inputs and outputs.

const STATUS_OK = 0;
const ALIGN = 64;
const CONFIG_BYTES = 28; // PREFIX_config of a 32-bit machine: seven words

const alignUp = (n) => Math.ceil(n / ALIGN) * ALIGN;

// The number of bytes the arena needs stands in the table that PREFIX_describe returns.
function readInfo(view, at) {
  const u64 = (p) => Number(view.getBigUint64(p, true));
  return {weightsBytes: u64(at + 16), sharedBytes: u64(at + 24), scratchBytes: u64(at + 32)};
}

function readText(memory, at) {
  const bytes = new Uint8Array(memory.buffer);
  let end = at;
  while (bytes[end]) end++;
  return new TextDecoder().decode(bytes.subarray(at, end));
}

class Model {
  constructor(exports, prefix) {
    this.exports = exports;
    this.prefix = prefix;
    this.memory = exports.memory;
    this.top = exports.__heap_base.value;
  }

  view() {
    return new DataView(this.memory.buffer);
  }

  // Bytes at the end of what is used; memory grows as needed.
  reserve(bytes) {
    const at = alignUp(this.top);
    this.top = at + bytes;
    const missing = this.top - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65536));
    return at;
  }

  check(status, what) {
    if (status === STATUS_OK) return;
    throw new Error(`${what}: ${readText(this.memory, this.exports[`${this.prefix}_strerror`](status))}`);
  }

  init(weights) {
    const info = readInfo(this.view(), this.exports[`${this.prefix}_describe`]());
    if (weights.byteLength !== info.weightsBytes)
      throw new Error(`the weight file has ${weights.byteLength} bytes, the model wants ${info.weightsBytes}`);
    const arenaBytes = 256 + info.sharedBytes + info.scratchBytes;
    const arena = this.reserve(arenaBytes);
    const data = this.reserve(weights.byteLength);
    const config = this.reserve(CONFIG_BYTES);
    const context = this.reserve(4);
    new Uint8Array(this.memory.buffer).set(new Uint8Array(weights), data);
    const view = this.view();
    [2, data, weights.byteLength, arena, arenaBytes, 0, 0].forEach((word, i) => view.setUint32(config + 4 * i, word, true));
    this.check(this.exports[`${this.prefix}_init`](context, config), "init");
    this.context = this.view().getUint32(context, true);
    this.calls = this.top; // inputs and outputs of each call lie from here on
  }

  // Calls a route. dims: values of its run-time dims, in the order of the header; inputs: Float32Arrays or Int32Arrays;
  // outputs: how many floats each has.
  call(route, dims, inputs, outputs) {
    const fn = this.exports[`${this.prefix}_${route}`];
    if (!fn) throw new Error(`the model has no route ${route}`);
    const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const results = outputs.map((count) => new Float32Array(count));
    this.exchange(route, inputs.map(bytesOf), results.map(bytesOf),
                  (into, from) => fn(this.context, ...Object.values(dims), ...into, ...from));
    return results;
  }

  // The same by number, with all dims of the model and buffers as bytes: outputs are handed over with what they have
  // (some are states that the call changes in place).
  callNumber(route, dims, inputs, outputs) {
    const words = (list) => this.handOver(new Uint8Array(Uint32Array.from(list).buffer));
    this.exchange(`route ${route}`, inputs, outputs, (into, from) => this.exports[`${this.prefix}_call`](
        this.context, route, words(dims), words(into), words(from)));
  }

  selfTest() {
    this.check(this.exports[`${this.prefix}_selftest`](this.context), "self-test");
  }

  handOver(bytes) {
    const at = this.reserve(bytes.length);
    new Uint8Array(this.memory.buffer).set(bytes, at);
    return at;
  }

  exchange(what, inputs, outputs, invoke) {
    this.top = this.calls;
    const into = inputs.map((bytes) => this.handOver(bytes));
    const from = outputs.map((bytes) => this.handOver(bytes));
    this.check(invoke(into, from), what);
    outputs.forEach((bytes, i) => bytes.set(new Uint8Array(this.memory.buffer, from[i], bytes.length)));
  }
}

async function loadModel(wasm, prefix, weights) {
  const {instance} = await WebAssembly.instantiate(wasm, {});
  const model = new Model(instance.exports, prefix);
  model.init(weights);
  return model;
}

// Softmax of class scores: the `top` most likely ones as [class, probability].
function topClasses(logits, top) {
  const most = Math.max(...logits);
  const e = Array.from(logits, (x) => Math.exp(x - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x, i) => [i, x / sum]).sort((a, b) => b[1] - a[1]).slice(0, top);
}

if (typeof module !== "undefined") module.exports = {loadModel, topClasses};
