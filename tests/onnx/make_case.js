// make_case.js: node make_case.js DIR SPEC ROUTE WEIGHTS: DIR/cases.json, a golden case whose inputs are those of
// DIR/in.safetensors and whose outputs those of DIR/out.safetensors.
'use strict';
const fs = require('fs');
const path = require('path');
const [dir, spec, route, weights] = process.argv.slice(2);

// Puts a prefix in front of all names, so that outputs may be called like inputs.
function prefixed(file, prefix) {
  const bytes = fs.readFileSync(path.join(dir, file)), n = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + n)), named = {};
  for (const [name, t] of Object.entries(header)) named[prefix + name] = t;
  let text = JSON.stringify(named);
  text += ' '.repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(path.join(dir, file), Buffer.concat([length, Buffer.from(text), bytes.subarray(8 + n)]));
  return Object.fromEntries(Object.keys(header).map((name) => [name, prefix + name]));
}

const [model, entry] = path.basename(spec).split(':');
fs.copyFileSync(weights, path.join(dir, 'weights.safetensors'));
const inputs = prefixed('in.safetensors', 'in.'), outputs = prefixed('out.safetensors', 'out.');
const page = fs.readFileSync(spec.slice(0, spec.lastIndexOf(':')), 'utf8');
const preset = page.match(new RegExp(`^preset ${entry} = (\\w+)\\(([^)]*)\\)`, 'm'));
const set = {};
for (const one of preset ? preset[2].split(',') : []) set[one.split('=')[0].trim()] = Number(one.split('=')[1]);
const kase = { name: route, kind: 'forward', model, entry: preset ? preset[1] : entry, set, weights: ['weights.safetensors'],
               tensors: ['in.safetensors', 'out.safetensors'], route, inputs, outputs, atol: 1e-6, rtol: 1e-5 };
fs.writeFileSync(path.join(dir, 'cases.json'), JSON.stringify({ format: 1, set: 'onnx', cases: [kase] }));
