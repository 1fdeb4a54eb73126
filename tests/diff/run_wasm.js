// run_wasm.js: what the small main of kernels.c does, for kernels compiled to WebAssembly: runs every kernel on its
// inputs, tasks last to first, on buffers that are aligned to 4 bytes and nothing more.
//
//   node run_wasm.js KERNELS.wasm LIST IN OUT        LIST: one line a kernel, its name and its bytes of scratch
const fs = require("fs");

const PARAMS = 16, DIMS = 16; // of test_args in kernels.c
const [wasm, list, from, to] = process.argv.slice(2);
const {exports: kernels} = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(wasm)), {});
const raw = fs.readFileSync(from), input = new DataView(raw.buffer, raw.byteOffset, raw.length);
const base = kernels.__heap_base.value;
let at = 0, top = base;

const number = () => Number(input.getBigUint64((at += 8) - 8, true));
const alignUp = (n) => Math.ceil(n / 64) * 64;
function reserve(bytes) {
  const place = alignUp(top);
  top = place + bytes;
  const missing = top - kernels.memory.buffer.byteLength;
  if (missing > 0) kernels.memory.grow(Math.ceil(missing / 65536));
  return place;
}

const results = [];
for (const line of fs.readFileSync(list, "utf8").trim().split("\n")) {
  const [name, scratchBytes] = line.split(" ");
  const dims = Array.from({length: DIMS}, number), sizes = [], buffers = [];
  top = base;
  for (let n = number(); n > 0; n--) {
    const size = number(), place = reserve(size + 4) + 4;
    new Uint8Array(kernels.memory.buffer).set(raw.subarray(at, at + size), place);
    at += size;
    sizes.push(size), buffers.push(place);
  }
  const args = reserve(4 * (PARAMS + DIMS)), scratch = reserve(Number(scratchBytes) + 64);
  const words = new Uint32Array(kernels.memory.buffer, args, PARAMS + DIMS);
  words.fill(0);
  words.set(buffers);
  words.set(dims, PARAMS);
  new Uint8Array(kernels.memory.buffer, scratch, Number(scratchBytes) + 64).fill(0xff);
  for (let t = kernels[`${name}_tasks`](args + 4 * PARAMS); t > 0; t--) kernels[name](args, t - 1, scratch);
  buffers.forEach((place, i) => results.push(Buffer.from(kernels.memory.buffer.slice(place, place + sizes[i]))));
}
if (at !== raw.length) throw new Error(`${from}: ${raw.length - at} bytes are left over`);
fs.writeFileSync(to, Buffer.concat(results));
