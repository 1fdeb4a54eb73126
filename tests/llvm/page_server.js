// page_server.js FOLDER: serves a folder on a free port of this machine, prints the port. For /test.html it gives
// index.html with a script behind it that drops a picture, as a user would, and sends the page as it then is. What a page
// posts becomes FOLDER/report.
const fs = require("fs"), http = require("http"), path = require("path");
const folder = process.argv[2];
const types = {".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm"};

function dropPicture() {
  const canvas = document.createElement("canvas");
  canvas.width = 48, canvas.height = 40;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#c40", pen.fillRect(0, 0, 48, 40), pen.fillStyle = "#08c", pen.fillRect(10, 8, 20, 24);
  canvas.toBlob((blob) => {
    const data = new DataTransfer();
    data.items.add(new File([blob], "drawn.png", {type: "image/png"}));
    document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
    const wait = setInterval(() => {
      if (!document.querySelector("#result td")) return;
      clearInterval(wait);
      fetch("/", {method: "POST", body: document.body.innerHTML});
    }, 50);
  });
}

async function receive(request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  fs.writeFileSync(path.join(folder, "report.part"), Buffer.concat(parts));
  fs.renameSync(path.join(folder, "report.part"), path.join(folder, "report"));
  response.writeHead(204).end();
}

const server = http.createServer((request, response) => {
  if (request.method === "POST") return receive(request, response);
  const name = path.basename(new URL(request.url, "http://x").pathname);
  const file = path.join(folder, name === "test.html" ? "index.html" : name);
  if (!fs.existsSync(file)) return response.writeHead(404).end();
  let body = fs.readFileSync(file);
  if (name === "test.html") body += `<script>(${dropPicture})()</script>`;
  response.writeHead(200, {"Content-Type": types[path.extname(file)] || "application/octet-stream"}).end(body);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
