// page_server.js FOLDER: serves a folder on a free port of this machine, prints the port. For /test.html it gives
// index.html with a script behind it that drops a picture, as a user would, and reports through the title.
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
  });
}

const server = http.createServer((request, response) => {
  const name = path.basename(new URL(request.url, "http://x").pathname);
  const file = path.join(folder, name === "test.html" ? "index.html" : name);
  if (!fs.existsSync(file)) return response.writeHead(404).end();
  let body = fs.readFileSync(file);
  if (name === "test.html") body += `<script>(${dropPicture})()</script>`;
  response.writeHead(200, {"Content-Type": types[path.extname(file)] || "application/octet-stream"}).end(body);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
