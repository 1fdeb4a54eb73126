// scene.js: drawn scenes and the model that was trained on them (models/scenes.sy), without a page: pictures of shapes as
// examples/scenes/scenes.c paints them, texts as numbers of words, answers and captions. For a browser and for node.
//
//   const scenes = await loadScenes(wasmBytes, weightBytes, vocabulary, answers);
//   const pixels = smaller(paint([{place: 4, shape: 0, color: 2, size: 1}], 1), 48, 48);
//   scenes.answer(pixels, "what color is the circle");   // [{word: "blue", share: 0.99}, ..]
//   scenes.caption(pixels);                               // "center large blue circle"

const GRID = 3, CELL = 16, SIDE = GRID * CELL;
const SHAPES = ["circle", "square", "triangle", "cross", "ring"];
const COLORS = ["red", "green", "blue", "yellow", "purple", "orange", "black"];
const SIZES = ["small", "large"];
const PLACES = ["topleft", "top", "topright", "left", "center", "right", "bottomleft", "bottom", "bottomright"];
const RGB = [[215, 40, 40], [40, 160, 60], [45, 80, 215], [235, 205, 40], [145, 50, 165], [240, 130, 30], [35, 35, 40]];
const GROUND = 235, RADIUS = [4.1, 6.9]; // the middle of what the model saw

/* pictures: {side, rgb}, rows of red, green and blue bytes ---------------------------------------------------------- */

// Is the point in a shape whose half width is 1?
const INSIDE = [
  (x, y) => x * x + y * y < 1,
  (x, y) => Math.abs(x) < 0.88 && Math.abs(y) < 0.88,
  (x, y) => y > -0.95 && y < 0.85 && Math.abs(x) < 0.55 * (y + 0.95),
  (x, y) => (Math.abs(x) < 0.33 && Math.abs(y) < 1) || (Math.abs(y) < 0.33 && Math.abs(x) < 1),
  (x, y) => x * x + y * y < 1 && x * x + y * y > 0.3,
];

// Objects {place, shape, color, size} in the middle of their cells, `scale` times as large as the model wants them.
function paint(objects, scale) {
  const side = SIDE * scale, cell = CELL * scale, rgb = new Uint8Array(3 * side * side).fill(GROUND);
  for (const {place, shape, color, size} of objects) {
    const left = (place % GRID) * cell, top = Math.floor(place / GRID) * cell, r = RADIUS[size] * scale;
    for (let y = top; y < top + cell; y++)
      for (let x = left; x < left + cell; x++) {
        let hit = 0; // of 4 x 4 points
        for (let k = 0; k < 16; k++)
          hit += INSIDE[shape]((x + ((k % 4) + 0.5) / 4 - left - cell / 2) / r,
                               (y + (Math.floor(k / 4) + 0.5) / 4 - top - cell / 2) / r);
        for (let c = 0; c < 3; c++) rgb[3 * (y * side + x) + c] = Math.round(GROUND + ((RGB[color][c] - GROUND) * hit) / 16);
      }
  }
  return {width: side, height: side, rgb};
}

// One axis of Pillow's bilinear filter: `n` values made of `from` of them, a triangle as wide as what becomes one.
function resizeRows(rows, columns, from, n) {
  const scale = from / n, support = Math.max(scale, 1), out = new Uint8Array(n * columns);
  for (let i = 0; i < n; i++) {
    const center = (i + 0.5) * scale, first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), from), weight = [];
    for (let k = first; k < last; k++) weight.push(Math.max(1 - Math.abs((k - center + 0.5) / support), 0));
    const sum = weight.reduce((a, b) => a + b, 0);
    for (let c = 0; c < columns; c++) {
      let v = 0;
      for (let k = first; k < last; k++) v += weight[k - first] * rows[k * columns + c];
      out[i * columns + c] = Math.round(v / sum);
    }
  }
  return out;
}

function turned(rgb, width, height) { // rows become columns
  const out = new Uint8Array(rgb.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) out[3 * (x * height + y) + c] = rgb[3 * (y * width + x) + c];
  return out;
}

// A picture of any size as the model's square.
function toSquare({width, height, rgb}) {
  if (width !== SIDE) rgb = turned(resizeRows(turned(rgb, width, height), 3 * height, width, SIDE), height, SIDE);
  if (height !== SIDE) rgb = resizeRows(rgb, 3 * SIDE, height, SIDE);
  return {width: SIDE, height: SIDE, rgb};
}

// Planes of red, green and blue with mean 0.9 and deviation 0.5, as the page says in `prepare image`.
function planesOf(picture) {
  const {rgb} = toSquare(picture), n = SIDE * SIDE, planes = new Float32Array(3 * n);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < n; i++) planes[c * n + i] = (rgb[3 * i + c] / 255 - 0.9) / 0.5;
  return planes;
}

/* the model --------------------------------------------------------------------------------------------------------- */
const UNKNOWN = 1, CLS = 2, SEP = 3, MASK = 4, MAX_TEXT = 18, STATES = 8, STATE_FLOATS = 2592;
const ROUTE = {start: 1, step: 2}; // by their order in the module; 0 is answer

class Scenes {
  constructor(model, words, answers) {
    this.model = model;
    this.words = words;
    this.answers = answers;
  }

  // A question as numbers of words: {ids, unknown}, the words that the model does not have.
  encode(question) {
    const list = question.toLowerCase().split(/[^a-z0-9]+/).filter(Boolean).slice(0, MAX_TEXT - 2);
    const ids = list.map((word) => Math.max(this.words.indexOf(word), 0) || UNKNOWN);
    return {ids: [CLS, ...ids, MASK], unknown: list.filter((word, i) => ids[i] === UNKNOWN)};
  }

  // All answers, the most likely one first.
  answer(picture, question) {
    const {ids} = this.encode(question), text = new Int32Array(MAX_TEXT);
    text.set(ids);
    const [logits] = this.model.call("answer", {B: 1, L: ids.length}, [planesOf(picture), text], [this.answers.length]);
    return topClasses(logits, this.answers.length).map(([i, share]) => ({word: this.answers[i], share}));
  }

  // The most likely word each time, until the end.
  caption(picture) {
    const floats = (n) => new Uint8Array(4 * n), ints = (...x) => new Uint8Array(Int32Array.from(x).buffer);
    const scores = floats(this.words.length), states = Array.from({length: STATES}, () => floats(STATE_FLOATS));
    const text = new Int32Array(MAX_TEXT), said = [];
    text[0] = CLS;
    this.model.callNumber(ROUTE.start, [1, 1, 1], [new Uint8Array(planesOf(picture).buffer), new Uint8Array(text.buffer), ints(0)],
                          [scores, ...states]);
    for (let at = 1; at < MAX_TEXT; at++) {
      const now = new Float32Array(scores.buffer), id = now.indexOf(Math.max(...now));
      if (id === SEP) break;
      said.push(this.words[id]);
      this.model.callNumber(ROUTE.step, [1, at + 1, 1], [ints(id), ints(at)], [scores, ...states]);
    }
    return said.join(" ");
  }
}

async function loadScenes(wasm, weights, words, answers) {
  return new Scenes(await loadModel(wasm, "scenes", weights), words, answers);
}

if (typeof module !== "undefined") {
  Object.assign(globalThis, require("../switchyard.js"));
  module.exports = {loadScenes, paint, planesOf, toSquare, SHAPES, COLORS, SIZES, PLACES};
}
