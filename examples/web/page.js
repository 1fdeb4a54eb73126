// page.js: a dropped picture through the tiny ViT: crop to a square, 32 x 32 pixels, mean and deviation 0.5, top 3.
const SIZE = 32, CLASSES = 10;
const $ = (id) => document.getElementById(id);

async function bytesOf(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status}; see README.md for how to make it`);
  return answer.arrayBuffer();
}

const ready = Promise.all([bytesOf("vit.wasm"), bytesOf("vit.syw")])
    .then(([wasm, weights]) => loadModel(wasm, "vit", weights));

// Planes of red, green and blue in -1 .. 1, as the model wants them.
function pixelsOf(image) {
  const side = Math.min(image.width, image.height);
  const context = $("picture").getContext("2d", {willReadFrequently: true});
  context.drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, SIZE, SIZE);
  const rgba = context.getImageData(0, 0, SIZE, SIZE).data;
  const planes = new Float32Array(3 * SIZE * SIZE);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < SIZE * SIZE; i++) planes[c * SIZE * SIZE + i] = rgba[4 * i + c] / 127.5 - 1;
  return planes;
}

async function classify(file) {
  const model = await ready;
  const image = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is no picture that this browser can read`);
  });
  const pixels = pixelsOf(image);
  const from = performance.now();
  const [logits] = model.call("classify", {B: 1}, [pixels], [CLASSES]);
  const ms = performance.now() - from;
  $("picture").hidden = false;
  $("result").replaceChildren(...topClasses(logits, 3).map(([label, share]) => {
    const row = document.createElement("tr");
    for (const text of [`class ${label}`, `${(100 * share).toFixed(1)} %`]) row.insertCell().textContent = text;
    return row;
  }));
  $("status").textContent = `${file.name}: ${ms.toFixed(2)} ms`;
}

const show = (file) => file && classify(file).catch((e) => ($("status").textContent = e.message));
$("file").addEventListener("change", (e) => show(e.target.files[0]));
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
  $("drop").addEventListener(name, (e) => {
    e.preventDefault();
    $("drop").classList.toggle("over", over);
    if (name === "drop") show(e.dataTransfer.files[0]);
  });
ready.then(() => ($("status").textContent = "ready"), (e) => ($("status").textContent = e.message));
