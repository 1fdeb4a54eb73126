// hf_tokenizers.js - small tokenizer.json files, one for each component and for models as they are published, and the ids
// that Hugging Face's own library makes with them (the npm package `tokenizers`, 0.23.2, the Rust library).
//
//   npm install tokenizers@0.23.2
//   node tests/reference/hf_tokenizers.js tests/golden/tokenizers/hf            # the files that tests/unit/host_hf.c reads
//   node tests/reference/hf_tokenizers.js /tmp/many --texts 10000 --seed 7      # texts drawn at random
//   node tests/reference/hf_tokenizers.js /tmp/each --codepoints                # every character, by what tables decide about
//   SWITCHYARD_HF=/tmp/many build/tests/unit-host_hf                            # compares them
//
// NAME.json is a tokenizer, NAME.ids a line of JSON for each text: [number of the text, ids, ids without special tokens,
// text of the ids]; texts.json has the texts. An `ids` of null: the library refuses the text.
'use strict';
const fs = require('fs');
const path = require('path');
const { Tokenizer } = require('tokenizers');

const args = process.argv.slice(2);
const option = (name, usual) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : usual);
const out = args[0], each = args.includes('--codepoints'), drawn = option('--texts', 0);
let state = BigInt(option('--seed', 1)) * 0x9e3779b97f4a7c15n & 0xffffffffffffffffn;
function random(n) { // of 0 .. n - 1 (splitmix64)
  state = (state + 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn;
  let z = state;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & 0xffffffffffffffffn;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & 0xffffffffffffffffn;
  return Number((z ^ (z >> 31n)) % BigInt(n));
}
const pick = (list) => list[random(list.length)];

/* ---- texts ---- */
const training = `the cat sat on the mat. a dog and a cat, two dogs; the quick brown fox jumps over the lazy dog!
it's what he'll do: they've gone, we're here, I'm not. don't do not can't. unaffable unwanted running runner runs 123 4567 89
a photo of a man riding a horse on a beach in the rain. photos of people playing tennis and football at 10:30 am.
naïve café déjà vu Straße groß ÉCOLE Ελλάδα σοφία ΣΟΦΟΣ привет мир здравствуй 你好世界 中文分词 日本語のテキスト カタカナ 한국어 안녕하세요 שלום עולם مرحبا بالعالم हिन्दी ไทย
emoji 😀 👍🏽 👩‍👩‍👧‍👦 🇩🇪 ❤️ end. e=mc^2 x_1+y_2 <tag> {json: "value"} https://example.org/a?b=c#d me@mail.com $5.00 50% C++ C#`;
const texts = [
  '', ' ', '  ', 'a', 'the', 'The cat', ' the cat', 'the  cat', 'the cat ', '  the   cat  sat ', '\tthe\ncat\r\nsat\n', 'Hello, world!',
  "it's don't we'll I'M THEY'VE he'd", "' '' 's 'S x's", 'unaffable', 'unaffableness', 'running runner', 'a photo of a cat', 'A PHOTO OF A CAT',
  'naïve café', 'nai\u0308ve cafe\u0301', 'déjà vu', 'STRASSE Straße ẞ', 'İstanbul ıI', 'ΣΟΦΟΣ ΟΔΥΣΣΕΥΣ', 'σοφός', 'Ǆ ǅ ǆ ﬁ ﬂ ﬀ ﬃ ﬆ',
  'Å Å Å', '①②③ ⅓ ½ ² ³', 'ＦＵＬＬ ｗｉｄｔｈ ﾊﾝｶｸ', '한국어 각 \u1100\u1161\u11a8', '\u0958 \u0915\u093c', 'q\u0323\u0307 q\u0307\u0323 s\u0323\u0307',
  '\u0344 \u0390 \u1fd3 \u1e9b\u0323', 'ﷺ ﷲ', '™ ℃ ℡ Ω K', '你好世界', '你好 world 世界', '日本語のテキスト', 'カタカナ ﾊﾟ', 'ไทยภาษา', 'हिन्दी में', 'שלום עולם', 'مرحبا بالعالم',
  'ab\u200dcd ef\u200cgh', 'zero\u200bwidth', 'bom\ufeffhere', '\u202aleft\u202c \u202eright\u202c', 'soft\u00adhyphen', 'nb\u00a0sp\u2003em\u2009thin\u3000ideo\u2028ls\u2029ps',
  '\u0085nel\u180emvs\u1680ogham', '\u001cfs\u001dgs\u001ers\u001fus', '\u0001\u0002\u0007\u000b\u000c\u007f\u0080\u009f', '\ufffd\ufffe', '\ue000private\uf8ff', '😀', '👍🏽', '👩‍👩‍👧‍👦', '🇩🇪🇫🇷', '❤️ ❤', 'a😀b👍c',
  '\u{1d400}\u{1d7d8}\u{20000}\u{2f800}\u{10ffff}', '!?!? ... --- ***', '«quoted» “quoted” ‘q’ ¿que? ¡si!', '$ + < = > ^ ` | ~', 'a.b,c;d:e', '(a) [b] {c}', 'x_1 + y_2 = z', '3.14 1,000 10:30 1/2', '1234567890', '٣٤٥ ४५ Ⅷ ㊿',
  'a1b2c3', 'C++ C# .NET', 'https://example.org/a?b=c#d', 'me@mail.com', '<s>', '</s>', '<pad> <unk> <mask>', '[CLS] [SEP] [MASK] [PAD] [UNK]', '[cls] [Mask]', 'the [MASK] sat', 'the[MASK]sat', 'the  [MASK]  sat', '[MASK][MASK]', ' [MASK] ', '[MASK]',
  '<mask>', 'a <mask> b', 'a<mask>b', 'a  <mask>  b', '<|endoftext|>', 'hi<|endoftext|>there', 'hi <|endoftext|> there', '<|im_start|>user\nhello<|im_end|>\n', 'extra token', 'extratoken', 'extra tokens', 'an extra token.', 'EXTRA TOKEN', 'extra  token', 'word', 'words', 'sword', 'a word.', 'éword', 'word é', 'wordé',
  'WORD', 'newline\n\n\ntwo', 'trailing\n', '   \n  x', '\n', '\r\n\r\n', 'tab\t\ttab', 'a \t b', 'x'.repeat(99), 'x'.repeat(101), 'the'.repeat(40), 'é'.repeat(60), '你'.repeat(30), 'zzzzzzzzzz qqqq', 'a'.repeat(300), 'ab'.repeat(64), 'aaaaabbbbbaaaa', '😀'.repeat(20),
  '▁the▁cat', '▁', '▁▁', ' ▁ ', 'a▁b', '##ing ##s', 'Ġthe Ġ', 'ĠĊ', '</w> a</w>', '<0x41> <0x0A>', '\u0000'.slice(1), '---the---cat---', 'the-cat', '--', '- -', 'a--b', '  --  ', 'foo  bar   baz', '123abc456', 'abc123', '12 34', '1', '12', '123', '1234', '12345',
  "I'll I'LL i’ll", 'ſ K K', 'ß ss SS', 'ﬀ ff', 'don\u2019t', 'e\u0301\u0302\u0303', '\u0301', '\u0301a', ' \u0301', 'a\u0301\u0301', 'क्षि', 'நி', 'ก็ำ', '\u0e33', 'ｶﾞ', '\u3099か\u3099', 'Ω≈ç√∫', 'œ∑´®†¥', 'ÅÍÎÏ˝ÓÔ', '( ͡° ͜ʖ ͡°)', '¯\\_(ツ)_/¯', 'Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮', '\u{1F468}\u{1F3FF}\u200d\u{1F9B2}', '\u0600\u06dd\u070f', 'x\u0338 ≠ =\u0338', 'ꙮ ꜩ', 'ᏣᎳᎩ ꭰ', 'Ა ა', 'ⓐ Ⓐ', '𐐀 𐐨', 'ʼn ŉ', 'ẖ ǰ', 'ΐ', '֊ ־ ؉ ჻', '。、！？', '・', '‐‑‒–—―', '′″‴',
];
const alphabet = [' ', ' ', ' ', 'the', 'cat', 'dog', 'a', 's', 'ing', 'un', 'X', '.', ',', "'s", '!', '\n', '\t', '  ', '1', '23', 'é', 'e\u0301', 'ß', 'Σ', '你', '好', '日本', 'привет', 'ОГО', '😀', '👩‍👧', 'א', 'ب', 'ि', 'क', '한', 'ᄀ', '\u0323', '\u0307', '\u200d', '\u00a0', '\u3000', '▁', '-', '_', '<mask>', '[MASK]', '</s>', 'extra token', 'word', '<|endoftext|>', 'ﬁ', '①', 'Ａ', '™', '\u0001', '\ufeff', '%', '$', 'ไ', 'ำ', 'İ', '\u{1d400}', '##', 'Ġ', '\r\n', '\u2028', 'don\'t', 'WE\'LL', 'photo'];
// Characters that all tables know: those of Unicode 8 and what composes them, of every script.
const ranges = [[0x20, 0x7e], [0x20, 0x7e], [0xa0, 0x2ff], [0x300, 0x36f], [0x370, 0x373], [0x384, 0x386], [0x388, 0x38a], [0x391, 0x3a1], [0x3a3, 0x3ff], [0x400, 0x481], [0x531, 0x556], [0x5d0, 0x5ea], [0x621, 0x64a], [0x905, 0x939], [0xe01, 0xe3a], [0x10a0, 0x10c5], [0x1100, 0x1112], [0x1161, 0x1175], [0x11a8, 0x11c2], [0x1e00, 0x1eff], [0x1f00, 0x1f15], [0x2000, 0x2027], [0x2030, 0x205e], [0x20a0, 0x20ab], [0x2100, 0x2138], [0x2150, 0x217f], [0x2190, 0x21ff], [0x2460, 0x24ff], [0x2600, 0x26ff], [0x3001, 0x3029], [0x3041, 0x3096], [0x30a1, 0x30fa], [0x4e00, 0x9fcc], [0xac00, 0xd7a3], [0xf900, 0xfa2d], [0xfb00, 0xfb06], [0xff01, 0xff9f], [0x1f600, 0x1f64f], [0x1d400, 0x1d454]];
function drawn_text() {
  let s = '';
  for (let n = 1 + random(24); n > 0; n--) {
    const r = pick(ranges);
    s += random(4) ? pick(alphabet) : String.fromCodePoint(r[0] + random(r[1] - r[0] + 1));
  }
  return s;
}

/* ---- models ---- */
const byteChar = [];
for (let b = 0, n = 0; b < 256; b++)
  byteChar[b] = String.fromCodePoint((b > 32 && b < 127) || (b > 160 && b !== 173) ? b : 256 + n++);
const toBytes = (s) => [...Buffer.from(s, 'utf8')].map((b) => byteChar[b]).join('');

// Merges of words (lists of symbols), the most frequent pair first.
function train(words, merges, prefix = '') {
  const list = [];
  let all = words.map((w) => [...w]);
  for (let k = 0; k < merges; k++) {
    const count = new Map();
    for (const w of all)
      for (let i = 0; i + 1 < w.length; i++) {
        const key = w[i] + '\0' + w[i + 1];
        count.set(key, (count.get(key) || 0) + 1);
      }
    const best = [...count].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0];
    if (!best || best[1] < 2) break;
    const [a, b] = best[0].split('\0'), made = a + b.slice(prefix.length);
    list.push([a, b]);
    all = all.map((w) => {
      const r = [];
      for (let i = 0; i < w.length; i++)
        if (w[i] === a && w[i + 1] === b) { r.push(made); i++; } else r.push(w[i]);
      return r;
    });
  }
  return list;
}
function vocabulary(symbols, merges, prefix = '', first = []) {
  const vocab = {};
  for (const s of [...first, ...symbols, ...merges.map(([a, b]) => a + b.slice(prefix.length))])
    if (!(s in vocab)) vocab[s] = Object.keys(vocab).length;
  return vocab;
}
const gpt2 = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
const bpe = (vocab, merges, more = {}) => ({ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false, ...more, vocab, merges });

const byteMerges = train(training.match(gpt2).map((w) => [...toBytes(w)]), 260);
const byteModel = (first, more) => bpe(vocabulary(byteChar, byteMerges, '', first), byteMerges, more);
const bytesStrings = (m) => ({ ...m, merges: m.merges.map((p) => p.join(' ')) });

const spaced = training.split(/\s+/).map((w) => ['▁', ...w]);
const metaMerges = train(spaced, 200);
const bytes256 = [...Array(256).keys()].map((b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
const metaModel = (first, more) => bpe(vocabulary(new Set(spaced.flat()), metaMerges, '', first), metaMerges, more);
const ascii = new Set([...training].filter((c) => c < '\x7f' && c > ' '));
const asciiWords = training.split(/\s+/).filter((w) => [...w].every((c) => ascii.has(c)));

const suffixWords = asciiWords.map((w) => [...w.slice(0, -1), w.slice(-1) + '</w>']);
const suffixMerges = train(suffixWords, 120);
const suffixModel = (more) => bpe(vocabulary([...ascii, ...[...ascii].map((c) => c + '</w>')], suffixMerges, '', ['<unk>']), suffixMerges, { unk_token: '<unk>', end_of_word_suffix: '</w>', ...more });
const prefixWords = asciiWords.map((w) => [...w].map((c, i) => (i ? '##' : '') + c));
const prefixMerges = train(prefixWords, 120, '##');
const prefixModel = (more) => bpe(vocabulary([...ascii, ...[...ascii].map((c) => '##' + c)], prefixMerges, '##', ['[UNK]']), prefixMerges, { unk_token: '[UNK]', continuing_subword_prefix: '##', ...more });

const chars = new Set([...training.toLowerCase(), ...training].filter((c) => !/\s/u.test(c)));
function wordpiece(first, more = {}) {
  const words = training.match(/\p{L}+|\p{N}+/gu).flatMap((w) => [w, w.toLowerCase(), w.normalize('NFD').replace(/\p{Mn}/gu, '').toLowerCase()]);
  const pieces = ['##ing', '##ner', '##s', '##able', '##ed', 'un', '##aff', '##the', '##x'];
  const vocab = {};
  for (const s of [...first, ...chars, ...[...chars].map((c) => '##' + c), ...words, ...pieces]) if (!(s in vocab)) vocab[s] = Object.keys(vocab).length;
  return { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab, ...more };
}
function unigram(first, more = {}, mark = '▁') {
  const count = new Map();
  for (const w of training.split(/\s+/).map((w) => mark + w))
    for (let i = 0; i < w.length; i++)
      for (let n = 1; n < 7 && i + n <= w.length; n++) count.set(w.slice(i, i + n), (count.get(w.slice(i, i + n)) || 0) + n);
  const pieces = [...count].filter(([s, c]) => s.length === 1 || c > 3 * s.length).filter(([s]) => !/[\ud800-\udfff]/.test(s));
  const total = pieces.reduce((sum, [, c]) => sum + c, 0);
  const list = [...first.map((s) => [s, 0]), ...pieces.map(([s, c]) => [s, Math.log(c / total)])];
  return { type: 'Unigram', unk_id: 0, vocab: list, ...more };
}
function wordlevel(first, more = {}) {
  const vocab = {};
  for (const s of [...first, ...training.match(/[\p{L}\p{M}]+|\p{N}+|[^\s\p{L}\p{N}]/gu), 'a', '-', '--', '1', ' ', '\n']) if (!(s in vocab)) vocab[s] = Object.keys(vocab).length;
  return { type: 'WordLevel', vocab, unk_token: first[0], ...more };
}

/* ---- files ---- */
const added = (id, content, more = {}) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true, ...more });
const bertFirst = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
const bertAdded = bertFirst.map((s, i) => added(i, s));
const spFirst = ['<unk>', '<s>', '</s>', '<pad>'];
const file = (model, more = {}) => ({ version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, model, ...more });
const template = (before, after, ids) => ({
  type: 'TemplateProcessing',
  single: [...before.map((id) => ({ SpecialToken: { id, type_id: 0 } })), { Sequence: { id: 'A', type_id: 0 } }, ...after.map((id) => ({ SpecialToken: { id, type_id: 0 } }))],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: Object.fromEntries(Object.entries(ids).map(([id, n]) => [id, { id, ids: [].concat(n), tokens: [].concat(n).map(() => id) }])),
});
const levels = (pre, more = {}) => file(wordlevel(['<unk>', '<mask>', '[MASK]']), { pre_tokenizer: pre, ...more });
const size = (model) => (Array.isArray(model.vocab) ? model.vocab.length : Object.keys(model.vocab).length);
const bertNorm = { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true };
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const split = (regex, behavior = 'Isolated', invert = false) => ({ type: 'Split', pattern: { Regex: regex }, behavior, invert });
const literal = (s, behavior, invert = false) => ({ type: 'Split', pattern: { String: s }, behavior, invert });
const meta = (prepend_scheme, more = {}) => ({ type: 'Metaspace', replacement: '▁', prepend_scheme, split: true, ...more });
const sequence = (key, list) => ({ type: 'Sequence', [key]: list });
const replace = (pattern, content) => ({ type: 'Replace', pattern, content });
const llamaSplit = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const o200k = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

// A double array of rules, as SentencePiece stores them: units by a plain first fit.
function charsmap(rules) {
  const strings = [], offsetOf = new Map();
  let bytes = 0;
  const value = (s) => {
    if (!offsetOf.has(s)) { offsetOf.set(s, bytes); strings.push(Buffer.from(s + '\0')); bytes += Buffer.byteLength(s) + 1; }
    return offsetOf.get(s);
  };
  const root = { kids: new Map() };
  for (const [from, to] of rules) {
    let node = root;
    for (const b of Buffer.from(from)) { if (!node.kids.has(b)) node.kids.set(b, { kids: new Map() }); node = node.kids.get(b); }
    node.value = value(to);
  }
  const units = [0], used = [true];
  const place = (node, at) => { // children of the node whose unit is at
    const labels = [...node.kids.keys()].sort((a, b) => a - b);
    if (node.value !== undefined) labels.unshift(0);
    if (!labels.length) return;
    let base = 1;
    for (;; base++) if (((base ^ at) < 1 << 21) && labels.every((l) => !used[base ^ l])) break;
    units[at] |= (base ^ at) << 10 | (node.value !== undefined ? 1 << 8 : 0);
    for (const l of labels) { used[base ^ l] = true; units[base ^ l] = l ? l : (node.value | 1 << 31); }
    for (const [l, kid] of node.kids) place(kid, base ^ l);
  };
  place(root, 0);
  while (units.length % 256) units.push(0);
  const trie = Buffer.alloc(4 * units.length);
  for (let i = 0; i < units.length; i++) trie.writeUInt32LE((units[i] || 0) >>> 0, 4 * i);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(trie.length);
  return Buffer.concat([head, trie, ...strings]).toString('base64');
}
const nmtRules = [];
for (const c of [...new Set(texts.join('') + String.fromCodePoint(...Array.from({ length: 0x500 }, (_, i) => 0x80 + i)) + '\u3000\u2003\u00a0')]) {
  const k = c.normalize('NFKC');
  if (k !== c && !/[\u0000\ud800-\udfff]/.test(k)) nmtRules.push([c, k]);
  const d = c.normalize('NFD');
  if (d !== c && d.normalize('NFKC') !== d) nmtRules.push([d, d.normalize('NFKC')]);
}
nmtRules.push(['\t', ' '], ['\n', ' '], ['\r', ' '], ['\u200b', ''], ['\u00ad', ''], ['\u200d', ' '], ['\r\n', '  ']);
const precompiled = { type: 'Precompiled', precompiled_charsmap: charsmap(nmtRules) };

const files = {
  bert: file(wordpiece(bertFirst), { added_tokens: bertAdded, normalizer: bertNorm, pre_tokenizer: { type: 'BertPreTokenizer' }, post_processor: template(['[CLS]'], ['[SEP]'], { '[CLS]': 2, '[SEP]': 3 }), decoder: { type: 'WordPiece', prefix: '##', cleanup: true } }),
  bert_cased: file(wordpiece(bertFirst), { added_tokens: bertAdded, normalizer: { ...bertNorm, lowercase: false, strip_accents: false }, pre_tokenizer: { type: 'BertPreTokenizer' }, post_processor: { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] }, decoder: { type: 'WordPiece', prefix: '##', cleanup: false } }),
  bert_accents: file(wordpiece(bertFirst, { max_input_chars_per_word: 8 }), { added_tokens: bertAdded, normalizer: { ...bertNorm, strip_accents: true, lowercase: false, clean_text: false, handle_chinese_chars: false }, pre_tokenizer: { type: 'BertPreTokenizer' } }),
  bert_truncated: file(wordpiece(bertFirst), { added_tokens: bertAdded, truncation: { direction: 'Right', max_length: 8, strategy: 'LongestFirst', stride: 0 }, padding: { strategy: { Fixed: 10 }, direction: 'Right', pad_to_multiple_of: null, pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' }, normalizer: bertNorm, pre_tokenizer: { type: 'BertPreTokenizer' }, post_processor: template(['[CLS]'], ['[SEP]'], { '[CLS]': 2, '[SEP]': 3 }) }),
  bert_left: file(wordpiece(bertFirst), { added_tokens: bertAdded, truncation: { direction: 'Left', max_length: 7, strategy: 'OnlyFirst', stride: 1 }, padding: { strategy: 'BatchLongest', direction: 'Left', pad_to_multiple_of: 4, pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' }, normalizer: bertNorm, pre_tokenizer: { type: 'BertPreTokenizer' }, post_processor: template(['[CLS]', '[MASK]'], ['[SEP]'], { '[CLS]': 2, '[SEP]': 3, '[MASK]': [4, 4] }) }),
  gpt2: file(byteModel([]), { added_tokens: [added(size(byteModel([])), '<|endoftext|>')], pre_tokenizer: byteLevel, post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true }, decoder: byteLevel }),
  roberta: file(bytesStrings(byteModel(['<s>', '<pad>', '</s>', '<unk>', '<mask>'])), { added_tokens: [added(0, '<s>'), added(1, '<pad>'), added(2, '</s>'), added(3, '<unk>'), added(4, '<mask>', { lstrip: true })], pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true }, post_processor: { type: 'RobertaProcessing', sep: ['</s>', 2], cls: ['<s>', 0], trim_offsets: true, add_prefix_space: true }, decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true } }),
  llama3: file(byteModel([], { ignore_merges: true }), { added_tokens: ['<|endoftext|>', '<|im_start|>', '<|im_end|>'].map((s, i) => added(size(byteModel([])) + i, s)), pre_tokenizer: sequence('pretokenizers', [split(llamaSplit), { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }]), post_processor: sequence('processors', [{ type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true }, template(['<|endoftext|>'], [], { '<|endoftext|>': size(byteModel([])) })]), decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true } }),
  qwen2: file(byteModel([]), { normalizer: { type: 'NFC' }, added_tokens: [added(size(byteModel([])), '<|endoftext|>'), added(size(byteModel([])) + 1, 'extra token', { special: false, normalized: true })], pre_tokenizer: sequence('pretokenizers', [split("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"), { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false }]), decoder: byteLevel }),
  o200k: file(byteModel([]), { pre_tokenizer: sequence('pretokenizers', [split(o200k, 'Removed', true), { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }]), decoder: byteLevel }),
  deepseek: file(byteModel([]), { normalizer: sequence('normalizers', []), pre_tokenizer: sequence('pretokenizers', [split('\\p{N}{1,3}'), split('[一-龥぀-ゟ゠-ヿ]+'), split('[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'), { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }]), decoder: byteLevel }),
  bloom: file(byteModel([]), { pre_tokenizer: sequence('pretokenizers', [split(' ?[^(\\s|[.,!?…。，、।۔،])]+'), { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }]), decoder: byteLevel }),
  byte_normalizer: file(byteModel([]), { normalizer: { type: 'ByteLevel' }, added_tokens: [added(size(byteModel([])), 'extra token', { normalized: true, special: false })], decoder: byteLevel }),
  clip: file(bpe(vocabulary([...byteChar, ...byteChar.map((c) => c + '</w>')], train(training.toLowerCase().match(/\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu).map((w) => { const b = [...toBytes(w)]; return [...b.slice(0, -1), b[b.length - 1] + '</w>']; }), 200), '', []), train(training.toLowerCase().match(/\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu).map((w) => { const b = [...toBytes(w)]; return [...b.slice(0, -1), b[b.length - 1] + '</w>']; }), 200), { end_of_word_suffix: '</w>', unk_token: '<|endoftext|>' }), {
    normalizer: sequence('normalizers', [{ type: 'NFC' }, replace({ Regex: '\\s+' }, ' '), { type: 'Lowercase' }]),
    pre_tokenizer: sequence('pretokenizers', [split("<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+", 'Removed', true), { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }]), decoder: sequence('decoders', [{ type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true }, { type: 'BPEDecoder', suffix: '</w>' }]) }),
  llama2: file(metaModel(['<unk>', '<s>', '</s>', ...bytes256], { unk_token: '<unk>', fuse_unk: true, byte_fallback: true }), { added_tokens: [added(0, '<unk>'), added(1, '<s>'), added(2, '</s>')], normalizer: sequence('normalizers', [{ type: 'Prepend', prepend: '▁' }, replace({ String: ' ' }, '▁')]), post_processor: template(['<s>'], [], { '<s>': 1 }), decoder: sequence('decoders', [replace({ String: '▁' }, ' '), { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }]) }),
  gemma: file(metaModel([...spFirst, ...bytes256], { unk_token: '<unk>', fuse_unk: true, byte_fallback: true }), { added_tokens: [added(0, '<unk>'), added(1, '<s>'), added(2, '</s>')], normalizer: replace({ String: ' ' }, '▁'), pre_tokenizer: literal(' ', 'MergedWithPrevious'), decoder: sequence('decoders', [replace({ String: '▁' }, ' '), { type: 'ByteFallback' }, { type: 'Fuse' }]) }),
  mistral: file(metaModel(['<unk>', '<s>', '</s>', ...bytes256], { unk_token: '<unk>', byte_fallback: true }), { added_tokens: [added(0, '<unk>'), added(1, '<s>'), added(2, '</s>'), added(metaModelSize(), '<mask>', {})], pre_tokenizer: meta('first', { split: false }), decoder: sequence('decoders', [replace({ String: '▁' }, ' '), { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }]) }),
  bpe_unk: file(metaModel(['<unk>'], { unk_token: '<unk>' }), { pre_tokenizer: meta('always') , decoder: meta('always') }),
  bpe_unk_fused: file(metaModel(['<unk>'], { unk_token: '<unk>', fuse_unk: true }), { pre_tokenizer: meta('never'), decoder: meta('never') }),
  bpe_no_unk: file(metaModel([]), { pre_tokenizer: meta('first') }),
  bpe_some_bytes: file(metaModel(['<unk>', ...bytes256.slice(128, 230)], { unk_token: '<unk>', fuse_unk: true, byte_fallback: true }), { pre_tokenizer: meta('always') }),
  bpe_suffix: file(suffixModel(), { pre_tokenizer: { type: 'WhitespaceSplit' }, decoder: { type: 'BPEDecoder', suffix: '</w>' } }),
  bpe_suffix_fused: file(suffixModel({ fuse_unk: true }), { normalizer: { type: 'Lowercase' }, pre_tokenizer: { type: 'Whitespace' }, decoder: { type: 'BPEDecoder', suffix: '</w>' } }),
  bpe_prefix: file(prefixModel(), { pre_tokenizer: { type: 'Whitespace' }, decoder: { type: 'WordPiece', prefix: '##', cleanup: true } }),
  t5: file(unigram(['<pad>', '</s>', '<unk>'], { unk_id: 2 }), { added_tokens: [added(0, '<pad>'), added(1, '</s>'), added(2, '<unk>')], normalizer: precompiled, pre_tokenizer: sequence('pretokenizers', [{ type: 'WhitespaceSplit' }, meta('always')]), post_processor: template([], ['</s>'], { '</s>': 1 }), decoder: meta('always') }),
  xlmr: file(unigram(['<s>', '<pad>', '</s>', '<unk>'], { unk_id: 3 }), { added_tokens: [added(0, '<s>'), added(1, '<pad>'), added(2, '</s>'), added(3, '<unk>'), added(unigram(['<s>', '<pad>', '</s>', '<unk>']).vocab.length, '<mask>', { lstrip: true })], normalizer: sequence('normalizers', [precompiled, replace({ Regex: ' {2,}' }, ' ')]), pre_tokenizer: sequence('pretokenizers', [{ type: 'WhitespaceSplit' }, { type: 'Metaspace', replacement: '▁', add_prefix_space: true }]), post_processor: template(['<s>'], ['</s>'], { '<s>': 0, '</s>': 2 }), decoder: { type: 'Metaspace', replacement: '▁', add_prefix_space: true } }),
  unigram_bytes: file(unigram(['<unk>', ...bytes256], { byte_fallback: true }), { normalizer: sequence('normalizers', [{ type: 'Nmt' }, { type: 'NFKC' }, replace({ Regex: ' {2,}' }, ' ')]), pre_tokenizer: meta('first', { split: false }), decoder: sequence('decoders', [{ type: 'ByteFallback' }, meta('first')]) }),
  unigram_whole: file(unigram(['<unk>']), { normalizer: sequence('normalizers', [{ type: 'NFKD' }, { type: 'StripAccents' }, { type: 'Lowercase' }]) }),
  unigram_no_unk: file(unigram([], { unk_id: null }), { pre_tokenizer: { type: 'WhitespaceSplit' } }),
  nfc: file(wordpiece(bertFirst), { normalizer: { type: 'NFC' }, pre_tokenizer: { type: 'Whitespace' } }),
  nfd: file(wordpiece(bertFirst), { normalizer: { type: 'NFD' }, pre_tokenizer: { type: 'Whitespace' } }),
  nfkc: file(wordpiece(bertFirst), { normalizer: { type: 'NFKC' }, pre_tokenizer: { type: 'Whitespace' } }),
  nfkd: file(byteModel([]), { normalizer: { type: 'NFKD' }, pre_tokenizer: byteLevel, decoder: byteLevel }),
  nfc_bytes: file(byteModel([]), { normalizer: { type: 'NFC' }, pre_tokenizer: byteLevel, decoder: byteLevel }),
  nfd_bytes: file(byteModel([]), { normalizer: { type: 'NFD' }, pre_tokenizer: byteLevel, decoder: byteLevel }),
  nfkc_bytes: file(byteModel([]), { normalizer: { type: 'NFKC' }, pre_tokenizer: byteLevel, decoder: byteLevel }),
  lower_bytes: file(byteModel([]), { normalizer: { type: 'Lowercase' }, pre_tokenizer: byteLevel, decoder: byteLevel }),
  accents_bytes: file(byteModel([]), { normalizer: sequence('normalizers', [{ type: 'NFD' }, { type: 'StripAccents' }]), pre_tokenizer: byteLevel, decoder: byteLevel }),
  bert_bytes: file(byteModel([]), { normalizer: bertNorm, pre_tokenizer: byteLevel, decoder: byteLevel }),
  nmt_bytes: file(byteModel([]), { normalizer: { type: 'Nmt' }, pre_tokenizer: byteLevel, decoder: byteLevel }),
  charsmap_bytes: file(byteModel([]), { normalizer: precompiled, pre_tokenizer: byteLevel, decoder: byteLevel }),
  strip_bytes: file(byteModel([]), { normalizer: { type: 'Strip', strip_left: true, strip_right: true }, pre_tokenizer: { ...byteLevel, add_prefix_space: true }, decoder: byteLevel }),
  strip_left_first: file(metaModel(['<unk>'], { unk_token: '<unk>' }), { normalizer: { type: 'Strip', strip_left: true, strip_right: false }, pre_tokenizer: meta('first') }),
  strip_right: file(metaModel(['<unk>'], { unk_token: '<unk>' }), { normalizer: { type: 'Strip', strip_left: false, strip_right: true }, pre_tokenizer: sequence('pretokenizers', [{ type: 'Punctuation', behavior: 'Isolated' }, meta('first')]) }),
  first_behind: file(metaModel(['<unk>', '<mask>'], { unk_token: '<unk>' }), { added_tokens: [added(1, '<mask>', { rstrip: true }), added(metaModelSize(['<unk>', '<mask>']), '[MASK]', { normalized: true, special: false })], normalizer: sequence('normalizers', [{ type: 'NFD' }, replace({ Regex: '[aA]' }, 'be'), replace({ Regex: '  +' }, ' ')]), pre_tokenizer: meta('first') }),
  byte_no_regex: file(byteModel([]), { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: false }, decoder: byteLevel }),
  byte_words: file(byteModel([]), { pre_tokenizer: sequence('pretokenizers', [{ type: 'Whitespace' }, { ...byteLevel, add_prefix_space: true }]) }),
  whitespace: levels({ type: 'Whitespace' }),
  whitespace_split: levels({ type: 'WhitespaceSplit' }),
  punctuation_isolated: levels(sequence('pretokenizers', [{ type: 'WhitespaceSplit' }, { type: 'Punctuation' }])),
  punctuation_removed: levels(sequence('pretokenizers', [{ type: 'WhitespaceSplit' }, { type: 'Punctuation', behavior: 'Removed' }])),
  punctuation_previous: levels(sequence('pretokenizers', [{ type: 'WhitespaceSplit' }, { type: 'Punctuation', behavior: 'MergedWithPrevious' }])),
  punctuation_next: levels(sequence('pretokenizers', [{ type: 'WhitespaceSplit' }, { type: 'Punctuation', behavior: 'MergedWithNext' }])),
  punctuation_contiguous: levels(sequence('pretokenizers', [{ type: 'WhitespaceSplit' }, { type: 'Punctuation', behavior: 'Contiguous' }])),
  digits: levels(sequence('pretokenizers', [{ type: 'WhitespaceSplit' }, { type: 'Digits', individual_digits: false }])),
  digits_each: levels(sequence('pretokenizers', [{ type: 'Digits', individual_digits: true }, { type: 'WhitespaceSplit' }])),
  delimiter: levels({ type: 'CharDelimiterSplit', delimiter: '-' }),
  delimiter_wide: levels({ type: 'CharDelimiterSplit', delimiter: '▁' }),
  split_words: levels(split('[\\w\\p{M}]+', 'Removed', true)),
  split_boundaries: levels(split('\\b', 'Isolated')),
  split_empty: levels(split('x*', 'MergedWithNext')),
  split_lines: levels(split('^|$', 'MergedWithPrevious')),
  split_ahead: levels(split('(?<=[a-z])(?=[A-Z])|(?<!\\d)\\d{2}(?!\\d)|[ \\t]{2,}', 'Isolated')),
  split_lazy: levels(split('[ab]+?b|\\s++|(?>the|t)h?', 'Contiguous')),
  split_scripts: levels(split('\\p{Han}+|\\p{Hiragana}+|\\P{L}|\\p{^L}', 'Isolated')),
  split_escapes: levels(split('[\\x{4e00}-\\x{9fff}\\u0430-\\u044f]|\\t|\\v|\\x41|\\.|[\\-\\]]', 'Isolated')),
  split_counts: levels(split('a{,3}b|a{2}|1{2,}?|x{|}', 'Isolated')),
  split_fold: levels(split("(?i:'LL|the|c[a-b]t)", 'Isolated')),
  split_properties: levels(split('\\p{L}+|\\p{N}+|[\\p{P}\\p{S}]+|\\p{Z}+|\\p{M}')),
  split_not_space: levels(split('[^\\S\\n]+|\\D\\W', 'Removed')),
};
for (const b of ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'])
  for (const invert of [false, true]) {
    files[`split_${b.toLowerCase()}${invert ? '_inverted' : ''}`] = levels(split('\\s|-', b, invert));
    files[`literal_${b.toLowerCase()}${invert ? '_inverted' : ''}`] = levels(literal('--', b, invert));
  }
const sizeAdded = size(wordlevel(['<unk>', '<mask>', '[MASK]']));
const extra = (more) => [added(1, '<mask>', more), added(sizeAdded, 'extra token', more), added(sizeAdded + 1, 'word', { ...more, special: false }), added(sizeAdded + 2, 'words', { ...more, special: false })];
files.added_plain = levels({ type: 'WhitespaceSplit' }, { added_tokens: extra({}) });
files.added_lstrip = levels({ type: 'WhitespaceSplit' }, { added_tokens: extra({ lstrip: true }) });
files.added_rstrip = levels({ type: 'WhitespaceSplit' }, { added_tokens: extra({ rstrip: true }) });
files.added_both = levels(null, { added_tokens: extra({ lstrip: true, rstrip: true }) });
files.added_single = levels({ type: 'WhitespaceSplit' }, { added_tokens: extra({ single_word: true }) });
files.added_single_strip = levels({ type: 'Whitespace' }, { added_tokens: extra({ single_word: true, lstrip: true, rstrip: true }) });
files.added_normalized = levels({ type: 'WhitespaceSplit' }, { normalizer: { type: 'Lowercase' }, added_tokens: extra({ normalized: true }) });
files.added_normalized_strip = levels({ type: 'WhitespaceSplit' }, { normalizer: sequence('normalizers', [{ type: 'Lowercase' }, replace({ String: ' ' }, '_')]), added_tokens: extra({ normalized: true, lstrip: true, single_word: true }) });
files.added_spaces = levels({ type: 'Whitespace' }, { added_tokens: [added(sizeAdded, '  ', { special: false }), added(sizeAdded + 1, '   ', { special: false, rstrip: true }), added(sizeAdded + 2, ' the', { lstrip: true })] });
files.replace_regex = levels({ type: 'WhitespaceSplit' }, { normalizer: sequence('normalizers', [replace({ Regex: '[\\.,!]+' }, ' . '), replace({ Regex: '(?i:cat)' }, 'dog'), replace({ String: 'the' }, '')]) });
files.decoders = file(metaModel(['<unk>', ...bytes256], { unk_token: '<unk>', byte_fallback: true }), { pre_tokenizer: meta('always'), decoder: sequence('decoders', [{ type: 'ByteFallback' }, replace({ Regex: '[aeiou]' }, '<v>'), { type: 'Strip', content: '>', start: 0, stop: 1 }, { type: 'Strip', content: '▁', start: 2, stop: 0 }]) });
files.wordlevel_missing = file({ ...wordlevel(['<unk>']), unk_token: '<none>' }, { pre_tokenizer: { type: 'WhitespaceSplit' } });
function metaModelSize(first = ['<unk>', '<s>', '</s>', ...bytes256]) { return size(metaModel(first)); }

// Every character of the planes that have some, 16 a text, between letters.
function each_character() {
  const list = [], all = [];
  for (let c = 1; c < 0xe0200; c === 0x323af ? (c = 0xe0000) : c++) if (c < 0xd800 || c > 0xdfff) all.push(String.fromCodePoint(c));
  for (let i = 0; i < all.length; i += 16) list.push(all.slice(i, i + 16).map((c) => `a${c}b`).join(' '));
  return list;
}
const by_tables = 'lower_bytes nfc_bytes nfd_bytes nfkc_bytes nfkd accents_bytes bert_bytes nmt_bytes charsmap_bytes bert_cased punctuation_isolated digits whitespace whitespace_split split_words split_boundaries split_properties split_not_space added_single'.split(' ');

async function main() {
  fs.mkdirSync(out, { recursive: true });
  const list = each ? each_character() : drawn ? Array.from({ length: drawn }, drawn_text) : texts;
  if (!drawn && !each) for (let i = 0; i < 24; i++) list.push(drawn_text());
  fs.writeFileSync(path.join(out, 'texts.json'), JSON.stringify(list) + '\n');
  for (const [name, json] of Object.entries(files)) {
    if (each && !by_tables.includes(name)) continue;
    const text = JSON.stringify(json);
    const t = Tokenizer.fromString(text);
    const bare = Tokenizer.fromString(JSON.stringify({ ...json, truncation: null, padding: null, post_processor: null }));
    const lines = [];
    for (const [i, s] of list.entries()) {
      let ids = null, plain = null, back = null;
      try {
        ids = (await t.encode(s)).getIds();
      } catch (e) { /* it refuses */ }
      if (ids && (json.post_processor || json.truncation)) {
        plain = (await bare.encode(s, null, { addSpecialTokens: false })).getIds();
      } else plain = ids;
      if (ids) back = await t.decode(ids, true);
      lines.push(JSON.stringify([i, ids, plain === ids || JSON.stringify(plain) === JSON.stringify(ids) ? 0 : plain, back]));
    }
    fs.writeFileSync(path.join(out, name + '.json'), text + '\n');
    fs.writeFileSync(path.join(out, name + '.ids'), lines.join('\n') + '\n');
  }
}
main();
