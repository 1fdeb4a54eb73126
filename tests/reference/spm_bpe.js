// spm_bpe.js - SentencePiece models of the kind BPE and the ids that SentencePiece itself makes with them (the npm package
// @agnai/sentencepiece-js 1.1.1, which is Google's library as WebAssembly).
//
//   npm install @agnai/sentencepiece-js@1.1.1
//   node tests/reference/spm_bpe.js tests/golden/tokenizers/spm_bpe
//
// NAME.model, and NAME.ids: a line of JSON for each text, [text, ids, text of the ids].
'use strict';
const fs = require('fs');
const path = require('path');
const { SentencePieceProcessor } = require('@agnai/sentencepiece-js');
const out = process.argv[2];

const training = `the cat sat on the mat. a dog and a cat, two dogs; the quick brown fox jumps over the lazy dog!
unaffable unwanted running runner runs 123 4567 a photo of a man riding a horse on a beach. photos of people 10:30 am.
naïve café déjà vu Straße привет мир 你好世界 日本語 한국어 שלום aaaa aaab abab abba 😀 👍`;
const NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, BYTE = 6;

function merges(words, most) {
  const made = [];
  let all = words.map((w) => [...w]);
  for (let k = 0; k < most; k++) {
    const count = new Map();
    for (const w of all) for (let i = 0; i + 1 < w.length; i++) count.set(w[i] + w[i + 1], (count.get(w[i] + w[i + 1]) || 0) + 1);
    const best = [...count].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0];
    if (!best || best[1] < 2) break;
    made.push(best[0]);
    all = all.map((w) => {
      const r = [];
      for (let i = 0; i < w.length; i++) if (i + 1 < w.length && w[i] + w[i + 1] === best[0]) { r.push(best[0]); i++; } else r.push(w[i]);
      return r;
    });
  }
  return made;
}

/* the protocol buffer */
const varint = (n) => { const b = []; for (; n > 127; n = Math.floor(n / 128)) b.push((n % 128) | 128); return Buffer.from([...b, n]); };
const field = (number, wire, body) => Buffer.concat([varint(number * 8 + wire), body]);
const bytes = (number, b) => field(number, 2, Buffer.concat([varint(b.length), b]));
const flag = (number, v) => field(number, 0, varint(v ? 1 : 0));
const float = (number, v) => { const b = Buffer.alloc(4); b.writeFloatLE(v); return field(number, 5, b); };
function model(pieces, { byteFallback = false, prefix = true, extra = false } = {}) {
  const list = pieces.map(([s, score, type]) => bytes(1, Buffer.concat([bytes(1, Buffer.from(s)), float(2, score), field(3, 0, varint(type))])));
  const trainer = Buffer.concat([field(3, 0, varint(2)), flag(35, byteFallback)]);
  const normalizer = Buffer.concat([bytes(1, Buffer.from('identity')), flag(3, prefix), flag(4, extra), flag(5, true)]);
  return Buffer.concat([...list, bytes(2, trainer), bytes(3, normalizer)]);
}
const first = [['<unk>', 0, UNKNOWN], ['<s>', 0, CONTROL], ['</s>', 0, CONTROL]];
const byte = [...Array(256).keys()].map((b) => [`<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, 0, BYTE]);
const words = training.split(/\s+/).map((w) => '▁' + w);
const made = merges(words, 220);
const chars = [...new Set(words.join(''))];
const plain = [...made.map((s, i) => [s, -i, NORMAL]), ...chars.filter((c) => !made.includes(c)).map((c, i) => [c, -made.length - i, NORMAL])];
const tied = plain.map(([s, score, type]) => [s, Math.floor(score / 10), type]); // many of the same score
const user = [['<mask>', 0, USER], ['ab', 0, USER], ['▁▁', 0, USER], ['\n', 0, USER], ['catdog', 0, USER]];
const withUser = plain.filter(([s]) => !user.some(([u]) => u === s));
const models = {
  llama: model([...first, ...byte, ...plain], { byteFallback: true }),
  gemma: model([...first, ...byte, ...user, ...withUser], { byteFallback: true, prefix: false }),
  tied: model([...first, ...tied], { extra: true }),
  user: model([...first, ...user, ...withUser], { extra: true }),
};
const texts = ['', ' ', 'the cat sat', ' the  cat ', 'unaffable runner', 'aaaaaaa', 'abababab', 'aabbaabb', 'abbaab', 'the<mask>cat', '<mask><mask>', 'catdogcat', 'a\nb\n\nc', 'naïve café', 'cafe\u0301', '你好世界你', '日本語 한국어', 'שלום', '😀👍🎉', 'zzz QQQ', '  two   spaces    here', '\ttab', 'x'.repeat(50), 'the'.repeat(30), 'photos of a man, 10:30!', '<s> </s> <unk> <0x41>', '▁the▁', 'ab', 'aab', 'bab', '▁▁▁', 'DÉJÀ déjà', '123 4567 890', 'привет, мир', 'e=mc²', 'running\u00a0runner'];
let state = 1;
const random = (n) => (state = (state * 1103515245 + 12345) % 2147483648, Math.floor(state / 65536) % n);
const parts = ['the', 'cat', 'a', 'b', 'ab', ' ', '  ', 'run', 'ing', 'é', '你', '<mask>', '\n', '😀', 'dog', 's', '1', '.'];
for (let i = 0; i < 300; i++) texts.push(Array.from({ length: 1 + random(20) }, () => parts[random(parts.length)]).join(''));

(async () => {
  fs.mkdirSync(out, { recursive: true });
  for (const [name, m] of Object.entries(models)) {
    const file = path.join(out, name + '.model');
    fs.writeFileSync(file, m);
    const p = new SentencePieceProcessor();
    await p.load(file);
    const lines = texts.map((s) => { const ids = p.encodeIds(s); return JSON.stringify([s, ids, p.decodeIds(ids)]); });
    fs.writeFileSync(path.join(out, name + '.ids'), lines.join('\n') + '\n');
  }
})();
