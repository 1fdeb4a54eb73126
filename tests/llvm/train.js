// train.js: steps of a training in WebAssembly, as train.c makes them: bits of the losses, then of what the route gives.
//
//   node train.js vit.wasm start.syw STATE_BYTES > by_node
const fs = require("fs");
const B = 4, PIXELS = 3 * 32 * 32, CLASSES = 10, STEPS = 3;

async function main([wasm, weights, stateBytes]) {
  const {instance} = await WebAssembly.instantiate(fs.readFileSync(wasm), {});
  const x = instance.exports, file = fs.readFileSync(weights);
  let top = x.__heap_base.value;
  const reserve = (bytes) => {
    const at = Math.ceil(top / 64) * 64;
    top = at + bytes;
    const missing = top - x.memory.buffer.byteLength;
    if (missing > 0) x.memory.grow(Math.ceil(missing / 65536));
    return at;
  };
  const view = () => new DataView(x.memory.buffer);
  const words = (list) => {
    const at = reserve(4 * list.length);
    list.forEach((word, i) => view().setUint32(at + 4 * i, word, true));
    return at;
  };
  const check = (status) => {
    if (status) throw new Error(`status ${status}`);
  };
  const print = (at, n) => {
    for (let i = 0; i < n; i++) console.log(view().getUint32(at + 4 * i, true).toString(16));
  };

  const arenaBytes = x.vit_arena_bytes(-1, 0, 1), arena = reserve(arenaBytes), state = reserve(Number(stateBytes));
  const data = reserve(file.length), image = reserve(4 * B * PIXELS), labels = words([3, 1, 4, 1]);
  new Uint8Array(x.memory.buffer).set(file, data);
  for (let i = 0; i < B * PIXELS; i++)
    view().setFloat32(image + 4 * i, (Math.imul(i, 2654435761) >>> 8) / 16777216 - 0.5, true);
  const out = words([0]), hyper = reserve(40), handle = words([0]);
  [0.01, 0.9, 0.999, 1e-8, 0.05].forEach((number, i) => view().setFloat64(hyper + 8 * i, number, true));
  check(x.vit_train_init(handle, words([2, state, Number(stateBytes), data, file.length, arena, arenaBytes, 0, 0])));
  const t = view().getUint32(handle, true);
  const dims = words([B]), inputs = words([image, labels]), outputs = words([out]);
  for (let step = 0; step < STEPS; step++) {
    check(x.vit_grad(t, 0, dims, inputs, outputs));
    check(x.vit_update(t, 0, hyper, 1, 0, 1.0, 0));
    print(out, 1);
  }
  const logits = reserve(4 * B * CLASSES);
  check(x.vit_classify(x.vit_train_ctx(t), B, image, logits));
  print(logits, B * CLASSES);
}

main(process.argv.slice(2)).catch((e) => {
  console.error(`train.js: ${e.message}`);
  process.exit(1);
});
