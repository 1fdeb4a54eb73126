// runner.js: calls one route of a model compiled to WebAssembly once, in node: for `syc check --target wasm32`.
// switchyard.js (examples/web) lies beside it.
//
//   node runner.js MODEL.wasm WEIGHTS.syw IN OUT PREFIX ROUTE DIMS INPUT_BYTES OUTPUT_BYTES
//
// ROUTE: its number. DIMS: all run-time dims of the model. The last three are lists with commas. IN holds the buffers of
// inputs and outputs one after the other, in the layout of the C API; OUT receives the outputs.
const fs = require("fs");
const {loadModel} = require("./switchyard.js");

const numbers = (list) => (list ? list.split(",").map(Number) : []);

async function main([wasm, weights, from, to, prefix, route, dims, inputBytes, outputBytes]) {
  if (outputBytes === undefined)
    throw new Error("usage: node runner.js MODEL.wasm WEIGHTS.syw IN OUT PREFIX ROUTE DIMS INPUT_BYTES OUTPUT_BYTES");
  const model = await loadModel(fs.readFileSync(wasm), prefix, fs.readFileSync(weights));
  const raw = fs.readFileSync(from);
  let at = 0;
  const take = (n) => {
    if (at + n > raw.length) throw new Error(`${from}: too short`);
    return new Uint8Array(raw.buffer, raw.byteOffset + (at += n) - n, n);
  };
  const inputs = numbers(inputBytes).map(take), outputs = numbers(outputBytes).map(take);
  model.selfTest();
  model.callNumber(Number(route), numbers(dims), inputs, outputs);
  fs.writeFileSync(to, Buffer.concat(outputs));
}

main(process.argv.slice(2)).catch((e) => {
  console.error(`runner.js: ${e.message}`);
  process.exit(1);
});
