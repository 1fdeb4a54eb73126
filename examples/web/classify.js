// classify.js: a compiled classifier in node. Pixels come as raw f32 from standard input, logits go to standard output,
// one a line, as many digits as tell two floats apart.
//
//   node classify.js vit.wasm vit.syw [classes] < pixels.f32
const fs = require("fs");
const {loadModel} = require("./switchyard.js");

async function main([wasm, weights, classes = "10"]) {
  if (!weights) throw new Error("usage: node classify.js MODEL.wasm WEIGHTS.syw [classes] < pixels.f32");
  const file = fs.readFileSync(weights);
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
  const model = await loadModel(fs.readFileSync(wasm), "vit", bytes);
  const raw = fs.readFileSync(0);
  const pixels = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
  const [logits] = model.call("classify", {B: 1}, [pixels], [Number(classes)]);
  for (const x of logits) console.log(x.toPrecision(9));
}

main(process.argv.slice(2)).catch((e) => {
  console.error(`classify.js: ${e.message}`);
  process.exit(1);
});
