// page.js: the page around scene.js. The scene is a list of objects, or a picture that was opened; whatever changes, the
// model reads what is there now.
const $ = (id) => document.getElementById(id);
const EXAMPLES = ["what color is the square", "where is the ring", "how many large things are there",
                  "is there a red circle", "is the circle above the square", "what shape is at the center"];
const MOST = 4;

let scenes = null;                                // once it is loaded
let objects = [{place: 0, shape: 0, color: 0, size: 0}, {place: 4, shape: 1, color: 2, size: 1}, {place: 8, shape: 4, color: 1, size: 1}];
let opened = null;                                // a picture in place of the objects

/* what there is to choose ------------------------------------------------------------------------------------------- */
function addChoices(id, names, chosen) {
  names.forEach((name, i) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, {type: "radio", name: id, value: i, checked: i === chosen});
    label.append(input);
    if (id === "color") {
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = `rgb(${RGB[i].join(" ")})`;
      label.append(swatch);
    }
    label.append(name);
    $(id).append(label);
  });
}
const chosen = (id) => Number(document.querySelector(`input[name=${id}]:checked`).value);

/* the board --------------------------------------------------------------------------------------------------------- */
const cells = PLACES.map((name, place) => {
  const button = document.createElement("button");
  button.type = "button";
  button.tabIndex = place ? -1 : 0; // one stop for Tab, arrows within
  button.addEventListener("click", () => put(place));
  button.addEventListener("keydown", (e) => {
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -GRID, ArrowDown: GRID}[e.key];
    const sideways = e.key === "ArrowLeft" || e.key === "ArrowRight", to = place + step;
    if ((e.key === "Delete" || e.key === "Backspace") && !opened) {
      objects = objects.filter((o) => o.place !== place);
      changed();
    } else if (step === undefined) {
      return;
    } else if (to >= 0 && to < PLACES.length && (!sideways || Math.floor(to / GRID) === Math.floor(place / GRID))) {
      focusCell(to);
    }
    e.preventDefault();
  });
  $("cells").append(button);
  return button;
});

function focusCell(place) {
  cells.forEach((button, i) => (button.tabIndex = i === place ? 0 : -1));
  cells[place].focus();
}

// Puts the chosen object into a cell; the same one again takes it away.
function put(place) {
  const object = {place, shape: chosen("shape"), color: chosen("color"), size: chosen("size")};
  const old = objects.find((o) => o.place === place && !opened);
  const same = old && old.shape === object.shape && old.color === object.color && old.size === object.size;
  objects = (opened ? [] : objects).filter((o) => o.place !== place);
  opened = null;
  if (!same && objects.length === MOST) objects.shift();
  if (!same) objects.push(object);
  cells.forEach((button, i) => (button.tabIndex = i === place ? 0 : -1));
  changed();
}

const named = (o) => `${SIZES[o.size]} ${COLORS[o.color]} ${SHAPES[o.shape]}`;

function show({width, height, rgb}) {
  const canvas = $("picture"), rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = rgb[3 * i + c];
  Object.assign(canvas, {width, height});
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

const picture = () => opened || paint(objects, 1);

function changed() {
  show(opened || paint(objects, 8));
  cells.forEach((button, place) => {
    const here = objects.find((o) => o.place === place);
    const what = opened ? "opened picture" : here ? named(here) : "empty";
    button.setAttribute("aria-label", `${PLACES[place]}: ${what}`);
  });
  read();
}

/* the model --------------------------------------------------------------------------------------------------------- */
function read() {
  if (!scenes) return;
  const from = performance.now(), question = $("question").value.trim();
  const {unknown, ids} = scenes.encode(question);
  $("note").textContent = unknown.length ? `words that the model does not know: ${[...new Set(unknown)].join(", ")}` : "";
  const answers = ids.length > 2 ? scenes.answer(picture(), question) : [];
  $("answer").textContent = answers.length ? answers[0].word : "\u2013";
  $("shares").tBodies[0].replaceChildren(...answers.slice(0, 3).map(({word, share}) => {
    const row = document.createElement("tr"), head = document.createElement("th"), bar = document.createElement("span");
    head.scope = "row";
    head.textContent = word;
    bar.style.width = `${100 * share}%`;
    row.append(head);
    const middle = row.insertCell();
    middle.className = "bar";
    middle.append(bar);
    row.insertCell().textContent = `${(100 * share).toFixed(1)} %`;
    return row;
  }));
  $("caption").textContent = scenes.caption(picture()) || "\u2013";
  $("status").textContent = `answer and caption took ${(performance.now() - from).toFixed(1)} ms`;
}

/* pictures of others ------------------------------------------------------------------------------------------------ */
async function openPicture(file) {
  if (!file) return;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return void ($("status").textContent = `${file.name} is no picture that this browser can read`);
  const most = 1024, scale = Math.min(1, most / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale)), height = Math.max(1, Math.round(bitmap.height * scale));
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  pen.fillStyle = "#fff", pen.fillRect(0, 0, width, height), pen.drawImage(bitmap, 0, 0, width, height);
  const rgba = pen.getImageData(0, 0, width, height).data, rgb = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = rgba[4 * i + c];
  opened = {width, height, rgb};
  changed();
}

/* everything together ----------------------------------------------------------------------------------------------- */
addChoices("shape", SHAPES, 0);
addChoices("color", COLORS, 0);
addChoices("size", SIZES, 1);
$("words").textContent = WORDS.filter((word) => !word.startsWith("[")).join(", ");
for (const text of EXAMPLES) {
  const button = Object.assign(document.createElement("button"), {type: "button", textContent: text});
  button.addEventListener("click", () => {
    $("question").value = text;
    read();
  });
  $("examples").append(button);
}
$("ask").addEventListener("submit", (e) => {
  e.preventDefault();
  read();
});
$("clear").addEventListener("click", () => {
  objects = [], opened = null;
  changed();
});
$("random").addEventListener("click", () => {
  const below = (n) => Math.floor(Math.random() * n);
  const places = PLACES.map((_, i) => i).sort(() => Math.random() - 0.5).slice(0, 1 + below(MOST));
  objects = places.map((place) => ({place, shape: below(SHAPES.length), color: below(COLORS.length), size: below(2)}));
  opened = null;
  changed();
});
$("file").addEventListener("change", (e) => openPicture(e.target.files[0]));
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
  document.addEventListener(name, (e) => {
    e.preventDefault();
    document.body.classList.toggle("over", over);
    if (name === "drop") openPicture(e.dataTransfer.files[0]);
  });
changed();

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
loadScenes(bytesOf(WASM), bytesOf(WEIGHTS), WORDS, ANSWERS).then((model) => {
  scenes = model;
  $("submit").disabled = false;
  read();
  document.dispatchEvent(new Event("ready"));
}, (e) => ($("status").textContent = `the model cannot be loaded: ${e.message}`));
