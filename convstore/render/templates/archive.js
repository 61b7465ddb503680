// What is chosen, and what follows from it in the panes. The data is in archive_store.js, rows in archive_list.js.

const $ = (id) => document.getElementById(id);
const state = { node: null, closed: new Set(), pattern: null };
const STEP = 14, DEEPEST = 12;

function pane(name) { document.body.dataset.pane = name; }

function lines(row, first, second) {
  const top = row.appendChild(make("div", "first"));
  top.append(...first);
  row.append(make("div", "second", second.filter(Boolean).join(" · ")));
}

const conversations = new List($("conversations").querySelector(".list"), 50, "option", {
  draw(row, home) {
    lines(row, [make("span", "words", home.title || home.id)], [home.sums.exchanges + (home.sums.exchanges === 1 ? " exchange" : " exchanges"), home.sums.money(), home.deleted ? "deleted" : null]);
  },
  choose(home) { pane("thread"); enter(home); },
});

const tree = new List($("tree").querySelector(".list"), 48, "treeitem", {
  draw(row, { node, level, opens, closed }) {
    row.setAttribute("aria-level", String(level + 1));
    if (opens) row.setAttribute("aria-expanded", String(!closed));
    row.classList.toggle("path", state.path.has(node));
    row.style.marginInlineStart = 10 + Math.min(level, DEEPEST) * STEP + "px";
    const first = [make("span", "turn", String(node.depth + 1))];
    if (opens) first.push(toggleOf(node, closed));
    first.push(make("span", "words", labelOf(node) || stateOf(node) || "–"));
    for (const name of node.names) first.push(make("span", "tag", name));
    const below = forks(node).length;
    lines(row, first, [node.origin === ADDED ? "by hand" : node.model, costOf(node), stateOf(node), below ? below + (below === 1 ? " branch" : " branches") : null]);
  },
  choose({ node }) { pane("thread"); open(node); },
  key(event, row, list) {
    const { node, opens, closed } = row;
    if (event.key === "ArrowRight" && opens && closed) return toggle(node), true;
    if (event.key === "ArrowLeft" && opens && !closed) return toggle(node), true;
    if (event.key === "ArrowLeft" && node.parent) { list.move(list.items.findIndex((each) => each.node === node.parent)); return true; }
    return false;
  },
});

function toggleOf(node, closed) {
  const button = make("button", "toggle", closed ? "▸" : "▾");
  button.type = "button"; button.tabIndex = -1;
  button.setAttribute("aria-label", closed ? "Unfold the branch" : "Fold the branch");
  button.addEventListener("click", (event) => { event.stopPropagation(); toggle(node); });
  return button;
}

function toggle(node) {
  if (!state.closed.delete(node.id)) state.closed.add(node.id);
  const at = tree.items[tree.active]?.node;
  drawTree();
  const again = tree.items.findIndex((row) => row.node === at);
  if (again >= 0) tree.move(again);
}

function drawTree() {
  const rows = rowsOf(state.node.home, state.closed);
  tree.show(rows, rows.findIndex((row) => row.node === state.node));
}

const results = new List($("results").querySelector(".list"), 74, "option", {
  draw(row, { node, snippet: [before, found, after] }) {
    const words = make("div", "two");
    words.append(before, make("mark", "", found), after);
    row.append(make("div", "second", (node.home.title || node.home.id) + " · turn " + (node.depth + 1)), words);
  },
  choose({ node }) { pane("thread"); open(node); },
});

const thread = new Thread($("thread"), (node) => open(node));

// A conversation opens at the end of its first thread, its branches folded.
function enter(home) {
  if (home.nodes.length) return open(lastOf(rootsOf(home)[0]));
  $("thread").replaceChildren(make("h2", "", home.title || home.id), make("p", "quiet", "There are no exchanges in this conversation."));
}

function open(node) {
  if (node.home !== state.node?.home) state.closed = new Set(node.home.nodes.filter((each) => each.lane === each.id && each.parent).map((each) => each.id));
  state.node = node;
  state.path = new Set(pathTo(node));
  for (const each of state.path) state.closed.delete(each.id);
  drawTree();
  const at = store.conversations.indexOf(node.home);
  if (conversations.chosen !== at || !conversations.inner.childElementCount) conversations.show(store.conversations, at);
  thread.show(node, state.pattern);
  history.replaceState(null, "", "#" + node.id);
}

function showResults(hits, isDone) {
  const keep = results.chosen;
  results.show(hits, keep < hits.length ? keep : -1);
  $("hits").textContent = hits.length + (isDone ? "" : " …") + (hits.length === 1 ? " result" : " results");
  for (const id of ["previous", "next"]) $(id).disabled = !hits.length;
}

function look() {
  const query = $("query").value.trim();
  for (const each of [$("results"), document.querySelector("[data-to=results]")]) each.hidden = !query;
  $("tree").hidden = Boolean(query);
  if (!query) {
    stopSearch();
    state.pattern = null;
    showResults([], true);
    $("hits").textContent = "";
    if (document.body.dataset.pane === "results") pane("tree");
    if (state.node) open(state.node);
    return;
  }
  state.pattern = patternOf(query);
  results.chosen = -1;
  pane("results");
  search(query, showResults);
}

function step(by) {
  const { length } = results.items;
  if (length) results.take(results.chosen < 0 ? (by > 0 ? 0 : length - 1) : (results.chosen + by + length) % length);
}

let typed = 0;
$("query").addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(look, 180); });
$("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
});
$("search").addEventListener("submit", (event) => event.preventDefault());
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
for (const button of document.querySelectorAll("[data-to]")) button.addEventListener("click", () => pane(button.dataset.to));
$("theme").addEventListener("click", () => {
  const themes = ["auto", "light", "dark"], root = document.documentElement;
  const next = themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % themes.length];
  root.dataset.theme = next;
  $("theme").textContent = next[0].toUpperCase() + next.slice(1);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "")) { event.preventDefault(); $("query").focus(); }
});
addEventListener("beforeprint", () => thread.fillAll());
addEventListener("hashchange", () => { const node = store.byId.get(location.hash.slice(1)); if (node && node !== state.node) open(node); });

readAll();
document.body.classList.toggle("single", store.conversations.length === 1);
$("total").textContent = count(store.conversations.length) + (store.conversations.length === 1 ? " conversation · " : " conversations · ") + count(store.total.exchanges) + (store.total.exchanges === 1 ? " exchange · " : " exchanges · ") + store.total.money();
conversations.show(store.conversations, -1);
const wanted = store.byId.get(location.hash.slice(1));
if (wanted) open(wanted);
else if (store.conversations.length) enter(store.conversations[0]);
else $("thread").replaceChildren(make("p", "quiet", "There is nothing in this export."));
