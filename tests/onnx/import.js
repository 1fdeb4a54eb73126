// import.js: pages made of ONNX files, for run.sh.
//
//   node import.js SYC MODELS GOLDEN WORK [SET...]     each golden case `forward` of the sets (default: all): its route is exported,
//                                                      the file imported, and the page that was made must pass the case
// Sequences of parts of which not only the last has a run-time length need segments, which an ONNX file does not have: these are
// refused, with that reason. One line a case: "ok SET/CASE", "refused SET/CASE", "FAILED SET/CASE: why".
'use strict';
const fs = require('fs');
const path = require('path');
const { spawnSync } = require('child_process');
const [syc, models, golden, work, ...sets] = process.argv.slice(2);

function run(words) {
  const r = spawnSync(syc, words, { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`syc ${words.join(' ')}: ${r.stderr}${r.stdout}`);
  return r.stdout;
}

function one(dir, kase) {
  const files = [...kase.weights, ...kase.tensors];
  if (files.some((f) => typeof f !== 'string' || !fs.existsSync(path.join(dir, f)))) return false;
  const at = path.join(work, 'case'), model = path.join(at, 'm.onnx');
  fs.rmSync(at, { recursive: true, force: true });
  fs.mkdirSync(at, { recursive: true });
  const beside = path.join(dir, kase.model), page = fs.existsSync(beside) ? beside : path.join(models, kase.model);
  const words = ['emit', `${page}:${kase.entry}`, '--routes', kase.route, '--emit=onnx', '-q', '--ignore', '*', '-o', model];
  for (const [name, value] of Object.entries(kase.set || {})) words.push('-D', `${name}=${value}`);
  for (const w of kase.weights) words.push('-w', path.join(dir, w));
  run(words);
  run(['import', model, '-q', '-o', path.join(at, 'm.sy')]);
  for (const t of kase.tensors) fs.copyFileSync(path.join(dir, t), path.join(at, t));
  const made = { name: kase.name, kind: 'forward', model: 'm.sy', entry: 'm', set: {}, weights: fs.existsSync(path.join(at, 'm.safetensors')) ? ['m.safetensors'] : [],
                 tensors: kase.tensors, route: 'forward', inputs: kase.inputs, outputs: kase.outputs, atol: kase.atol, rtol: kase.rtol };
  fs.writeFileSync(path.join(at, 'cases.json'), JSON.stringify({ format: 1, set: 'm', cases: [made] }));
  run(['check', at, '--golden', at, '--backend', 'interp']);
  return true;
}

const noSegments = 'without segments only the last may';
let failed = 0, passed = 0, refused = 0;
for (const set of fs.readdirSync(golden).sort()) {
  const dir = path.join(golden, set), list = path.join(dir, 'cases.json');
  if ((sets.length && !sets.includes(set)) || !fs.existsSync(list)) continue;
  for (const kase of JSON.parse(fs.readFileSync(list, 'utf8')).cases) {
    if (kase.kind !== 'forward') continue;
    try {
      if (!one(dir, kase)) continue;
      passed++;
      console.log(`ok ${set}/${kase.name}`);
    } catch (error) {
      if (String(error.message).includes(noSegments)) {
        refused++;
        console.log(`ok: refused ${set}/${kase.name}`);
        continue;
      }
      failed++;
      console.log(`FAILED ${set}/${kase.name}: ${String(error.message).replace(/^syc [^:]*: /, '').slice(0, 500)}`);
    }
  }
}
console.log(`${passed} pages equal, ${failed} not, ${refused} refused for want of segments`);
process.exit(failed || passed < 3 * refused ? 1 : 0); // most can be read
