// Search over everything said, piece by piece so that the page stays awake. A block is only parsed where its text as it
// stands may hold what is looked for: of most characters JSON text holds what it says.

const ESCAPED = /["\\<>&\u0000-\u001f\u2028\u2029]/;
const AWAKE_MS = 16;

// Case does not count, in any alphabet.
function patternOf(query) { return new RegExp(query.replace(/[\\^$.*+?()[\]{}|/-]/g, (mark) => (mark === "-" ? "\\x2d" : "\\" + mark)), "giu"); }

function* textsOf(body) {
  if (body.instructions) yield body.instructions;
  for (const [, title, pieces] of body.blocks) {
    yield title;
    for (const [form, text] of pieces) if (form !== "image") yield text;
  }
}

function snippetOf(text, found) {
  const start = Math.max(0, found.index - 36), end = found.index + found[0].length;
  const before = (start ? "…" : "") + text.slice(start, found.index);
  return [before, found[0], text.slice(end, end + 90)].map((part) => part.replace(/\s+/g, " "));
}

function hitIn(node, pattern, isPlain) {
  pattern.lastIndex = 0;
  if (isPlain && !pattern.test(node.block.textContent)) return null;
  for (const text of textsOf(bodyOf(node))) {
    pattern.lastIndex = 0;
    const found = pattern.exec(text);
    if (found) return { node, snippet: snippetOf(text, found) };
  }
  return null;
}

let latest = 0;

// tell(hits, isDone) is called as they come in; a later search ends this one.
async function search(query, tell) {
  const own = (latest += 1), pattern = patternOf(query), isPlain = !ESCAPED.test(query), hits = [];
  let since = performance.now();
  for (const node of store.nodes) {
    const hit = hitIn(node, pattern, isPlain);
    if (hit) hits.push(hit);
    if (performance.now() - since > AWAKE_MS) {
      tell(hits, false);
      await new Promise((resolve) => setTimeout(resolve));
      if (own !== latest) return;
      since = performance.now();
    }
  }
  tell(hits, true);
}

function stopSearch() { latest += 1; }

// Puts what is found in an element's text into <mark>, and opens what it is folded away in.
function markIn(element, pattern) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  for (const text of texts) {
    const parts = [], said = text.data;
    let at = 0;
    pattern.lastIndex = 0;
    for (const found of said.matchAll(pattern)) {
      parts.push(said.slice(at, found.index), make("mark", "", found[0]));
      at = found.index + found[0].length;
    }
    if (!parts.length) continue;
    const folded = text.parentElement.closest("details");
    if (folded) folded.open = true;
    text.replaceWith(...parts, said.slice(at));
  }
}
