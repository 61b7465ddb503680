"use strict";
// The data of the page, which stands in blocks of JSON, and sums over it. A block is "[head,\n body]": the heads of all
// are read when the page opens, a body when it is shown or searched. Amounts are whole numbers of 10^-18.

const PLACES = 18;
const ADDED = "items";

function units(text) {
  const [whole, part = ""] = text.split(".");
  return BigInt(whole + part.padEnd(PLACES, "0").slice(0, PLACES));
}

function decimal(amount) {
  const digits = amount.toString().padStart(PLACES + 1, "0");
  const part = digits.slice(-PLACES).replace(/0+$/, "");
  return digits.slice(0, -PLACES) + (part && "." + part);
}

class Sums {
  constructor() {
    this.exchanges = 0; this.input = 0; this.output = 0; this.uncounted = 0; this.unpriced = 0; this.amounts = new Map();
  }

  // What was added by hand took nothing, and is no exchange with a model.
  add(node) {
    if (node.origin === ADDED) return this;
    this.exchanges += 1;
    if (node.tokens) { this.input += node.tokens[0]; this.output += node.tokens[3]; } else this.uncounted += 1;
    if (node.basis === null || node.basis === "unknown") this.unpriced += 1;
    else if (node.cost !== null && node.currency) this.pay(node.currency, units(node.cost));
    return this;
  }

  pay(currency, amount) { this.amounts.set(currency, (this.amounts.get(currency) ?? 0n) + amount); }

  join(other) {
    for (const name of ["exchanges", "input", "output", "uncounted", "unpriced"]) this[name] += other[name];
    for (const [currency, amount] of other.amounts) this.pay(currency, amount);
    return this;
  }

  // Known amounts by currency, then how many are not known: "0.25 USD + 2 unknown".
  money() {
    const known = [...this.amounts].sort().map(([currency, amount]) => decimal(amount) + " " + currency);
    if (this.unpriced) known.push(this.unpriced === 1 && this.exchanges === 1 ? "unknown" : this.unpriced + " unknown");
    return known.join(" + ") || (this.exchanges ? "not billed" : "–");
  }
}

const store = { conversations: [], nodes: [], byId: new Map(), total: new Sums() };

function readAll() {
  let home = null;
  for (const block of document.querySelectorAll('script[type="application/json"]')) {
    const text = block.textContent;
    if (block.className === "c") {
      home = { ...JSON.parse(text), nodes: [], sums: new Sums() };
      store.conversations.push(home);
      continue;
    }
    const node = JSON.parse(text.slice(1, text.indexOf(",\n")));
    node.block = block; node.home = home; node.children = [];
    node.parent = store.byId.get(node.parent_id) ?? null;
    if (node.parent) node.parent.children.push(node);
    home.nodes.push(node); store.nodes.push(node); store.byId.set(node.id, node);
    home.sums.add(node);
  }
  for (const each of store.conversations) store.total.join(each.sums);
}

function bodyOf(node) { return JSON.parse(node.block.textContent)[1]; }

function pathTo(node) {
  const found = [];
  for (let at = node; at; at = at.parent) found.push(at);
  return found.reverse();
}

function sumOf(nodes) { return nodes.reduce((sums, node) => sums.add(node), new Sums()); }

function sumBelow(node) {
  const sums = new Sums(), waiting = [node];
  while (waiting.length) { const at = waiting.pop(); sums.add(at); for (const child of at.children) waiting.push(child); }
  return sums;
}

// The child that goes on in the same lane; the others open one each.
function following(node) { return node.children.find((child) => child.lane === node.lane) ?? null; }
function forks(node) { return node.children.filter((child) => child.lane !== node.lane); }
function rootsOf(home) { return home.nodes.filter((node) => !node.parent); }

function lastOf(node) {
  for (let next = node; next; next = following(node)) node = next;
  return node;
}

// The rows of a tree: a lane runs straight down, what forks off stands under its fork, one step in.
function rowsOf(home, closed) {
  const found = [], waiting = rootsOf(home).map((node) => ({ node, level: 0 })).reverse();
  while (waiting.length) {
    const row = waiting.pop(), { node, level } = row;
    const opens = level > 0 && node.lane === node.id && node.children.length > 0;
    found.push({ ...row, opens, closed: opens && closed.has(node.id) });
    if (opens && closed.has(node.id)) continue;
    const next = following(node);
    if (next) waiting.push({ node: next, level });
    for (const fork of forks(node).reverse()) waiting.push({ node: fork, level: level + 1 });
  }
  return found;
}

// What an exchange is called in lists: its question; where nobody said anything ("[function_call_output]") its answer.
function labelOf(node) {
  const asked = node.question?.startsWith("[") ? node.answer ?? node.question : node.question;
  return asked ?? node.answer;
}
