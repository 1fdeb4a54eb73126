// scenes_page.js: drives examples/web/scenes as a user would, by its controls, and posts what came of it to the port of this
// machine that the page's address ends with (test.html?PORT):
//   answer QUESTION = WORD, caption WORDS, dropped WORD, pixels HEX (of the scene), keys and names of controls
async function drive(say) {
  const ask = (question) => {
    $("question").value = question;
    $("ask").requestSubmit();
    return $("answer").textContent;
  };
  const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  const choose = (id, i) => document.querySelector(`input[name=${id}][value="${i}"]`).click();

  // top left: small red circle; center: large blue square; bottom right: large green ring
  $("clear").click();
  for (const [place, shape, color, size] of [[0, 0, 0, 0], [4, 1, 2, 1], [8, 4, 1, 1]]) {
    choose("shape", shape), choose("color", color), choose("size", size);
    cells[place].click();
  }
  for (const question of ["what color is the square", "where is the green ring", "is the red circle above the blue square",
                          "how many large things are there"])
    say(`answer ${question} = ${ask(question)}`);
  say(`caption ${$("caption").textContent}`);
  say(`pixels ${Array.from(picture().rgb, (x) => x.toString(16).padStart(2, "0")).join("")}`);
  ask("what color is the zebra");
  say(`note ${$("note").textContent}`);

  // the same scene four times as large, dropped
  show(paint(objects, 4));
  const blob = await new Promise((done) => $("picture").toBlob(done));
  const data = new DataTransfer();
  data.items.add(new File([blob], "scene.png", {type: "image/png"}));
  document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true, bubbles: true}));
  while (!opened) await new Promise((done) => setTimeout(done, 20));
  say(`dropped ${ask("what color is the square")}, ${$("caption").textContent}`);

  // keys: to the right, down, put, take away
  $("clear").click();
  cells[0].focus();
  press("ArrowRight"), press("ArrowDown"), press("ArrowUp"), press("ArrowUp"), press("ArrowDown");
  say(`at ${document.activeElement.getAttribute("aria-label")}`);
  document.activeElement.click();
  say(`put ${document.activeElement.getAttribute("aria-label")}`);
  press("Delete");
  say(`emptied ${document.activeElement.getAttribute("aria-label")}`);
  const nameless = [...document.querySelectorAll("input, button")].filter(
      (e) => !e.labels?.length && !e.textContent.trim() && !e.getAttribute("aria-label"));
  say(`controls without a name: ${nameless.length}`);
}

async function report() {
  let said = "";
  await drive((text) => (said += text + "\n")).catch((error) => (said += `${error}\n`));
  fetch(`http://127.0.0.1:${location.search.slice(1)}`, {method: "POST", mode: "no-cors", body: said});
}

// The model may be there before this script is.
if ($("submit").disabled) document.addEventListener("ready", report);
else report();
