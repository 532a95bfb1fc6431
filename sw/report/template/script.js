"use strict";
// A press on a block shows its figures, from the page's JSON, and marks it in all drawings. Nothing else needs a script.
(() => {
  const result = JSON.parse(document.getElementById("result").textContent);
  const detail = document.getElementById("detail");
  const count = (value) => Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
  const percent = (value) => `${(100 * value).toFixed(1)}%`;

  const figures = (block, shapes) => [
    ["operators", shapes.operators.join(", ")],
    ["input", shapes.input.join("\u00d7")],
    ["interior", shapes.interior ? shapes.interior.join("\u00d7") : "none"],
    ["output", shapes.output.join("\u00d7")],
    ["way", block.slices > 1 ? `${block.mode}, ${block.slices} slices` : block.mode],
    ["multiply-adds", count(block.macs)],
    ["cycles", count(block.cycles)],
    ["predicted", count(block.predicted_cycles)],
    ["utilisation", percent(block.utilisation)],
    ["array forms products", percent(block.time.array_busy / block.cycles)],
    ["waits for weights", percent(block.time.wait_weights / block.cycles)],
    ["waits for data or room", percent(block.time.wait_data / block.cycles)],
    ["depthwise unit busy", percent(block.depthwise_busy / block.cycles)],
    ["bytes read, written", `${count(block.read_bytes)}, ${count(block.write_bytes)}`],
    ["of what is attainable", `${percent(block.roofline.attained)}, limit: ${block.roofline.bound}`],
  ];

  const choose = (index) => {
    const block = result.blocks[index];
    for (const element of document.querySelectorAll("[data-block]")) {
      element.classList.toggle("chosen", element.dataset.block === String(index));
    }
    const title = document.createElement("b");
    title.textContent = `${index + 1}. ${block.name}`;
    const list = document.createElement("dl");
    for (const [name, value] of figures(block, result.network[index])) {
      const pair = document.createElement("div");
      const term = document.createElement("dt");
      const description = document.createElement("dd");
      term.textContent = name;
      description.textContent = value;
      pair.append(term, description);
      list.append(pair);
    }
    detail.replaceChildren(title, list);
    detail.hidden = false;
  };

  for (const element of document.querySelectorAll("[data-block]")) {
    element.addEventListener("click", () => choose(Number(element.dataset.block)));
  }
})();
