// ort.js: ONNX files in ONNX Runtime, for run.sh.
//
//   node ort.js MODULES SYC MODELS GOLDEN WORK [SET...]     the golden cases `forward` of the sets (default: all): each route is
//                                                           exported with its weights, executed, and its outputs compared with
//                                                           those of the case by the case's own tolerance
//   node ort.js MODULES run MODEL.onnx IN.safetensors OUT.safetensors    outputs of one model, by name
//   node ort.js MODULES draw MODEL.onnx OUT.safetensors DIM=N...         inputs for it, drawn; whole numbers are 0, 1 or 2
//
// MODULES is the folder that holds onnxruntime-node. One line a case: "ok SET/CASE", "FAILED SET/CASE: why".
'use strict';
const fs = require('fs');
const path = require('path');
const { spawnSync } = require('child_process');

const half = (h) => {
  const s = h & 0x8000 ? -1 : 1, e = (h >> 10) & 31, m = h & 1023;
  if (e === 31) return m ? NaN : s * Infinity;
  return s * (e ? 2 ** (e - 15) * (1 + m / 1024) : (2 ** -14 * m) / 1024);
};
const readers = {
  F64: (b) => Array.from(new Float64Array(b)),
  F32: (b) => Array.from(new Float32Array(b)),
  F16: (b) => Array.from(new Uint16Array(b), half),
  I64: (b) => Array.from(new BigInt64Array(b), Number),
  I32: (b) => Array.from(new Int32Array(b)),
  U8: (b) => Array.from(new Uint8Array(b)),
  BOOL: (b) => Array.from(new Uint8Array(b)),
};

function readTensors(file, into) {
  const bytes = fs.readFileSync(file), n = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + n));
  for (const [name, t] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [lo, hi] = t.data_offsets, part = Uint8Array.from(bytes.subarray(8 + n + lo, 8 + n + hi));
    into[name] = { shape: t.shape, dtype: t.dtype, data: () => readers[t.dtype](part.buffer) };
  }
  return into;
}

function writeTensors(file, tensors) {
  const kept = { float32: 'F32', int32: 'I32', int64: 'I64', bool: 'BOOL' };
  const header = {}, parts = [];
  let at = 0;
  for (const [name, t] of Object.entries(tensors)) {
    const bytes = Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength);
    header[name] = { dtype: kept[t.type], shape: Array.from(t.dims), data_offsets: [at, at + bytes.length] };
    parts.push(bytes);
    at += bytes.length;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(file, Buffer.concat([length, Buffer.from(text), ...parts]));
}

function feed(ort, meta, t) {
  const v = t.data();
  if (meta.type === 'int64') return new ort.Tensor('int64', BigInt64Array.from(v, BigInt), t.shape);
  if (meta.type === 'int32') return new ort.Tensor('int32', Int32Array.from(v), t.shape);
  if (meta.type === 'bool') return new ort.Tensor('bool', Uint8Array.from(v), t.shape);
  return new ort.Tensor('float32', Float32Array.from(v), t.shape);
}

const options = { executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 };

async function execute(ort, model, source) {
  const session = await ort.InferenceSession.create(model, options);
  const feeds = {};
  for (const meta of session.inputMetadata) {
    if (!source(meta.name)) throw new Error(`the model asks for ${meta.name}, which the case does not have`);
    feeds[meta.name] = feed(ort, meta, source(meta.name));
  }
  const out = await session.run(feeds);
  await session.release();
  return out;
}

// A length as the model writes it: "B", "2*L+1".
function lengthOf(text, dims) {
  if (typeof text === 'number') return text;
  return text.replace(/-/g, '+-').split('+').filter(Boolean).reduce((sum, term) => {
    const parts = term.replace('-', '').split('*').map((p) => (/^\d/.test(p) ? Number(p) : dims[p]));
    return sum + (term.startsWith('-') ? -1 : 1) * parts.reduce((a, b) => a * b, 1);
  }, 0);
}

async function draw(ort, model, out, words) {
  const dims = Object.fromEntries(words.map((w) => [w.split('=')[0], Number(w.split('=')[1])]));
  const session = await ort.InferenceSession.create(model, options);
  const made = {};
  let seed = 12345;
  const next = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  for (const meta of session.inputMetadata) {
    const shape = meta.shape.map((d) => lengthOf(d, dims)), n = shape.reduce((a, b) => a * b, 1);
    const data = { float32: () => Float32Array.from({ length: n }, () => 2 * next() - 1),
                   int32: () => Int32Array.from({ length: n }, () => Math.floor(3 * next())),
                   bool: () => Uint8Array.from({ length: n }, () => (next() < 0.6 ? 1 : 0)) }[meta.type]();
    made[meta.name] = { type: meta.type, dims: shape, data };
  }
  writeTensors(out, made);
  return 0;
}

function emit(syc, models, dir, work, kase) {
  const file = path.join(work, 'model.onnx');
  const beside = path.join(dir, kase.model);
  const spec = `${fs.existsSync(beside) ? beside : path.join(models, kase.model)}:${kase.entry}`;
  const words = ['emit', spec, '--routes', kase.route, '--emit=onnx', '-q', '--ignore', '*', '-o', file];
  for (const [name, value] of Object.entries(kase.set || {})) words.push('-D', `${name}=${value}`);
  for (const w of kase.weights) {
    if (typeof w !== 'string') return null; // in the shared folder
    words.push('-w', path.join(dir, w));
  }
  const r = spawnSync(syc, words, { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`syc ${words.join(' ')}: ${r.stderr}`);
  return file;
}

function compare(kase, name, got, want) {
  const w = want.data(), g = Array.from(got.data, Number);
  if (got.dims.join() !== want.shape.join() || g.length !== w.length)
    throw new Error(`${name} has the shape ${got.dims}, not ${want.shape}`);
  let most = 0, error = 0;
  for (let i = 0; i < w.length; i++) {
    if (Number.isFinite(w[i])) most = Math.max(most, Math.abs(w[i]));
    if (!(g[i] === w[i] || (Number.isNaN(g[i]) && Number.isNaN(w[i])))) {
      const d = Math.abs(g[i] - w[i]);
      error = Number.isNaN(d) ? Infinity : Math.max(error, d);
    }
  }
  const exact = got.type !== 'float32', limit = exact ? 0 : (kase.atol ?? 1e-7) + (kase.rtol ?? 1e-5) * most;
  if (!(error <= limit)) throw new Error(`${name} differs by ${error.toExponential(2)}, allowed are ${limit.toExponential(2)}`);
  return limit ? error / limit : 0;
}

async function cases(ort, syc, models, golden, work, sets) {
  let failed = 0, passed = 0, worst = 0;
  for (const set of fs.readdirSync(golden).sort()) {
    const list = path.join(golden, set, 'cases.json');
    if ((sets.length && !sets.includes(set)) || !fs.existsSync(list)) continue;
    const dir = path.dirname(list);
    for (const kase of JSON.parse(fs.readFileSync(list, 'utf8')).cases) {
      if (kase.kind !== 'forward') continue;
      try {
        if (kase.tensors.some((t) => typeof t !== 'string' || !fs.existsSync(path.join(dir, t)))) continue;
        const model = emit(syc, models, dir, work, kase);
        if (!model) continue;
        const tensors = {};
        for (const t of kase.tensors) readTensors(path.join(dir, t), tensors);
        const out = await execute(ort, model, (name) => tensors[kase.inputs[name]]);
        for (const [name, want] of Object.entries(kase.outputs)) {
          if (!out[name]) throw new Error(`the model has no output ${name}`);
          worst = Math.max(worst, compare(kase, name, out[name], tensors[want]));
        }
        passed++;
        console.log(`ok ${set}/${kase.name}`);
      } catch (error) {
        failed++;
        console.log(`FAILED ${set}/${kase.name}: ${String(error.message).slice(0, 400)}`);
      }
    }
  }
  console.log(`${passed} routes equal, ${failed} not; largest share of a tolerance used: ${worst.toFixed(2)}`);
  return failed || !passed ? 1 : 0;
}

async function main() {
  const [modules, ...words] = process.argv.slice(2);
  const ort = require(path.join(path.resolve(modules), 'onnxruntime-node'));
  if (words[0] === 'run') {
    const tensors = readTensors(words[2], {});
    writeTensors(words[3], await execute(ort, words[1], (name) => tensors[name]));
    return 0;
  }
  if (words[0] === 'draw') return draw(ort, words[1], words[2], words.slice(3));
  const [syc, models, golden, work, ...sets] = words;
  return cases(ort, syc, models, golden, work, sets);
}

main().then((code) => process.exit(code), (error) => {
  console.error(`ort.js: ${error.message}`);
  process.exit(1);
});
