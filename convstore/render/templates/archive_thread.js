// A thread, shown: a turn is made of elements when it comes near to the view. What was said is text, whatever it is.

const IMAGE = /^data:image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml)[;,]/i;
const FENCE = /^[ \t]*(`{3,}|~{3,})/;

function seconds(node) { return node.ms === null ? null : (node.ms / 1000).toFixed(1) + " s"; }
function count(number) { return number.toLocaleString("en"); }
function moment(text) { return text.slice(0, 19).replace("T", " ") + " UTC"; }

function stateOf(node) {
  if (node.deleted) return "deleted";
  if (node.erased) return "erased";
  return node.status === "completed" ? null : node.status.replace("_", " ");
}

function costOf(node) { return node.origin === ADDED ? null : new Sums().add(node).money() + (node.basis === "estimated" ? " (estimated)" : ""); }

function metaOf(node) {
  if (node.origin === ADDED) return ["added or taken out by hand", moment(node.at)];
  const [input, cached, , output, reasoning] = node.tokens ?? [];
  const tokens = node.tokens
    ? count(input) + (cached ? " (" + count(cached) + " cached)" : "") + " tokens in, " + count(output) + (reasoning ? " (" + count(reasoning) + " reasoning)" : "") + " out"
    : "tokens unknown";
  const from = node.origin_id ? node.origin + " of " + node.origin_id : null;
  const status = node.status.replace("_", " ") + (node.incomplete ? " (" + node.incomplete + ")" : "");
  return [node.model, moment(node.at), status, seconds(node), from, tokens, "cost " + costOf(node)].filter(Boolean);
}

// Blocks of code stand out; everything else is shown as it was written.
function textInto(parent, text) {
  let lines = [], mark = null;
  const flush = (tag, className) => {
    const said = lines.join("\n");
    lines = [];
    if (!said.trim()) return;
    const element = parent.appendChild(make(tag, className, tag === "pre" ? said : said.replace(/^\n+|\n+$/g, "")));
    if (tag !== "pre") element.dir = "auto";
  };
  for (const line of text.split("\n")) {
    const found = FENCE.exec(line)?.[1];
    if (!mark && found) { flush("div", "text"); mark = found; }
    else if (mark && found && found[0] === mark[0] && found.length >= mark.length && line.trim() === found) { flush("pre"); mark = null; }
    else lines.push(line);
  }
  flush(mark ? "pre" : "div", mark ? "" : "text");
}

function pieceInto(parent, [form, text]) {
  if (form === "text") textInto(parent, text);
  else if (form === "code") parent.append(make("pre", "", text));
  else if (form === "image" && IMAGE.test(text)) {
    const image = make("img");
    image.alt = "Image"; image.decoding = "async"; image.src = text;
    parent.append(image);
  } else parent.append(make("p", "quiet", form === "image" ? "Image: " + text.slice(0, 2000) : text));
}

function blockOf([kind, title, pieces]) {
  const folded = kind !== "question" && kind !== "answer";
  const block = make(folded ? "details" : "div", folded ? kind : "block " + kind);
  block.append(make(folded ? "summary" : "p", "who", title));
  block.open = kind === "call" || kind === "other";
  for (const piece of pieces) pieceInto(block, piece);
  return block;
}

class Thread {
  constructor(box, go) {
    this.box = box; this.go = go; this.pattern = null;
    this.near = new IntersectionObserver((seen) => this.inPlace(() => {
      for (const each of seen) if (each.isIntersecting) this.fill(each.target);
    }), { root: box, rootMargin: "1200px 0px" });
  }

  // What is in view stays where it is while turns above it come by their content.
  inPlace(change) {
    const top = this.box.getBoundingClientRect().top;
    let low = 0, high = this.turns.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.turns[middle].getBoundingClientRect().bottom > top) high = middle; else low = middle + 1;
    }
    const seen = this.turns[low], before = seen.getBoundingClientRect().top;
    change();
    if (before < top + this.box.clientHeight) this.box.scrollTop += seen.getBoundingClientRect().top - before;
  }

  show(node, pattern) {
    this.near.disconnect();
    this.pattern = pattern;
    const path = pathTo(node), home = node.home;
    this.turns = path.map((each) => Object.assign(make("article"), { node: each, chosen: each === node }));
    this.box.replaceChildren(...this.head(home), ...this.turns);
    const chosen = this.turns[this.turns.length - 1];
    // As much above the chosen turn as can be seen together with it.
    for (let at = this.turns.length, height = 0; at > 0 && height < this.box.clientHeight; ) {
      const turn = this.turns[(at -= 1)];
      this.fill(turn);
      if (turn !== chosen) height += turn.offsetHeight;
    }
    if (path.length > 1 || pattern) (chosen.querySelector("mark") ?? chosen).scrollIntoView({ block: pattern ? "center" : "start" });
    else this.box.scrollTop = 0;
    for (const turn of this.turns) this.near.observe(turn);
  }

  head(home) {
    const names = home.branches.map(([name]) => name);
    const about = [home.id, moment(home.at), home.deleted ? "deleted" : null, names.length ? "branches: " + names.join(", ") : null, home.metadata];
    return [make("h2", "", home.title || home.id), make("p", "about", about.filter(Boolean).join(" · "))];
  }

  figures(node) {
    const rows = [
      ["This exchange", new Sums().add(node)], ["The thread to it", sumOf(pathTo(node))], ["It and all that follows", sumBelow(node)],
      ["The conversation", node.home.sums], ["Everything here", store.total],
    ];
    const box = make("div", "figures"), table = box.appendChild(make("table")), body = make("tbody");
    const top = table.appendChild(make("thead")).appendChild(make("tr"));
    top.append(...["", "Exchanges", "Tokens in", "Tokens out", "Cost"].map((text) => make("th", "", text)));
    for (const [name, sums] of rows) {
      const row = body.appendChild(make("tr"));
      const missing = sums.uncounted ? " + ?" : "";
      row.append(make("th", "", name), ...[count(sums.exchanges), count(sums.input) + missing, count(sums.output) + missing, sums.money()].map((text) => make("td", "", text)));
    }
    table.append(body);
    return box;
  }

  fill(turn) {
    this.near.unobserve(turn);
    if (turn.classList.contains("filled")) return;
    const { node } = turn, body = bodyOf(node);
    turn.classList.add("filled");
    turn.classList.toggle("chosen", turn.chosen);
    const title = turn.appendChild(make("h3", "", "Turn " + (node.depth + 1)));
    for (const name of node.names) title.append(make("span", "tag", name));
    turn.append(make("p", "meta", metaOf(node).join(" · ")));
    if (stateOf(node)) turn.append(make("p", "bad", { deleted: "This exchange was deleted.", erased: "What was said here was erased." }[stateOf(node)] ?? "It ended as " + stateOf(node) + (node.error ? ": " + [node.error, body.error].filter(Boolean).join(", ") : "") + "."));
    if (body.instructions) turn.append(blockOf(["instructions", "Instructions", [["text", body.instructions]]]));
    for (const block of body.blocks) turn.append(blockOf(block));
    if (body.metadata) turn.append(blockOf(["metadata", "Metadata", [["code", body.metadata]]]));
    if (this.pattern) markIn(turn, this.pattern);
    if (turn.chosen) turn.append(this.figures(node));
    if (turn.chosen && node.children.length) turn.append(this.onwards(node));
  }

  onwards(node) {
    const box = make("div", "next");
    box.append(make("p", "who quiet", node.children.length > 1 ? "It goes on in " + node.children.length + " branches" : "It goes on"));
    for (const child of node.children) {
      const button = box.appendChild(make("button", "", labelOf(child) || child.id));
      button.type = "button";
      button.addEventListener("click", () => this.go(child));
    }
    return box;
  }

  fillAll() { for (const turn of this.turns ?? []) this.fill(turn); }
}
