// A list of any length, of which only the rows in view are elements. Arrows, Home, End, Page and Enter work on it.

function make(tag, className, text) {
  const found = document.createElement(tag);
  if (className) found.className = className;
  if (text !== undefined) found.textContent = text;
  return found;
}

class List {
  // draw(element, item) fills a row; choose(item) is told which was taken; key(event, item) may take a key first.
  constructor(box, height, role, { draw, choose, key = () => false }) {
    Object.assign(this, { box, height, role, draw, choose, key, items: [], active: -1, chosen: -1 });
    this.inner = box.appendChild(make("div"));
    box.addEventListener("scroll", () => this.render(), { passive: true });
    box.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.render()).observe(box);
  }

  show(items, chosen) {
    this.items = items; this.active = this.chosen = chosen;
    this.inner.style.height = items.length * this.height + "px";
    this.reveal(chosen);
    this.render();
  }

  reveal(at) {
    if (at < 0) return;
    const top = at * this.height, { scrollTop, clientHeight } = this.box;
    if (top < scrollTop || top + this.height > scrollTop + clientHeight) this.box.scrollTop = top - clientHeight / 3;
  }

  render() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - 4);
    const last = Math.min(this.items.length, first + Math.ceil(this.box.clientHeight / this.height) + 9);
    const rows = [];
    for (let at = first; at < last; at += 1) rows.push(this.row(at));
    this.inner.replaceChildren(...rows);
    const id = this.box.parentElement.id + "-" + this.active;
    if (this.active >= first && this.active < last) this.box.setAttribute("aria-activedescendant", id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  row(at) {
    const row = make("div", "row");
    row.id = this.box.parentElement.id + "-" + at;
    row.setAttribute("role", this.role);
    row.setAttribute("aria-selected", String(at === this.chosen));
    row.setAttribute("aria-posinset", String(at + 1));
    row.setAttribute("aria-setsize", String(this.items.length));
    row.classList.toggle("active", at === this.active);
    row.classList.toggle("chosen", at === this.chosen);
    row.style.top = at * this.height + "px";
    row.style.height = this.height + "px";
    row.addEventListener("click", () => this.take(at));
    this.draw(row, this.items[at]);
    return row;
  }

  take(at) {
    if (!this.items[at]) return;
    this.active = this.chosen = at;
    this.reveal(at);
    this.render();
    this.choose(this.items[at]);
  }

  move(at) {
    this.active = Math.min(this.items.length - 1, Math.max(0, at));
    this.reveal(this.active);
    this.render();
  }

  pressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.items.length) return;
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    if (this.items[this.active] && this.key(event, this.items[this.active], this)) event.preventDefault();
    else if (event.key in steps) { event.preventDefault(); this.move(this.active + steps[event.key]); }
    else if (event.key === "Home" || event.key === "End") { event.preventDefault(); this.move(event.key === "Home" ? 0 : this.items.length); }
    else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.take(this.active); }
  }
}
