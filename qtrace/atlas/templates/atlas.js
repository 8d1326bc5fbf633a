// Switch of light and dark, search, filters of the grid. Without this script the pages are whole.
(() => {
  "use strict";
  const here = document.currentScript.dataset;
  const root = document.documentElement;

  const make = (tag, values, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(values)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  const theme = make("button", { id: "theme", type: "button", "aria-label": words.dark, title: words.dark }, "◐");
  const input = make("input", {
    id: "q", type: "search", placeholder: words.search_hint, autocomplete: "off", spellcheck: "false", role: "combobox",
    "aria-expanded": "false", "aria-controls": "hits", "aria-autocomplete": "list", "aria-label": words.search,
  });
  const list = make("ul", { id: "hits", role: "listbox", "aria-label": words.results, hidden: "" });
  const form = make("form", { role: "search", id: "search" }, input, make("kbd", { "aria-hidden": "true" }, "/"), list);
  document.getElementById("tools").append(form, theme);

  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const told = () => theme.setAttribute("aria-pressed", String(dark()));
  told();
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("atlas-theme", root.dataset.theme); } catch (refused) { /* kept for this page */ }
    told();
  });

  const most = 40;
  let entries = null, loading = false, shown = [], chosen = -1;
  const load = () => {
    if (loading) return;
    loading = true;
    const script = document.createElement("script");
    script.src = here.root + "assets/search.js";
    script.onload = () => {
      const data = window.atlasSearch;
      entries = data.entries.map(([name, kind, words, place, where]) => ({
        name, kind: data.kinds[kind], words, place, where, low: name.toLowerCase(), all: (name + " " + words).toLowerCase(),
      }));
      entries.releases = data.releases;
      search();
    };
    document.head.append(script);
  };
  const rank = (entry, asked, parts) => {
    if (!parts.every((part) => entry.all.includes(part))) return -1;
    if (entry.low === asked) return 0;
    if (entry.low.startsWith(asked)) return 1;
    const at = entry.low.indexOf(asked);
    if (at > 0) return /[a-z0-9]/.test(entry.low[at - 1]) ? 3 : 2;
    return parts.every((part) => entry.low.includes(part)) ? 4 : 5;
  };
  const address = (entry) => {
    if (entry.where < 0) return here.root + entry.place;
    const names = entries.releases, mine = names.indexOf(here.release);
    const at = mine >= 0 && entry.where & (1 << mine) ? mine : 31 - Math.clz32(entry.where);
    return here.root + encodeURI(names[at]) + "/" + entry.place;
  };
  const choose = (number, moved = true) => {
    chosen = number;
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === number)));
    const item = list.children[number];
    input.setAttribute("aria-activedescendant", item ? item.id : "");
    if (item && moved) item.scrollIntoView({ block: "nearest" });
  };
  const search = () => {
    const begun = performance.now();
    const asked = input.value.trim().toLowerCase();
    shown = [];
    list.replaceChildren();
    if (entries && asked) {
      const parts = asked.split(/\s+/);
      const ranks = [[], [], [], [], [], []];
      for (const entry of entries) {
        const at = rank(entry, asked, parts);
        if (at >= 0) ranks[at].push(entry);
      }
      for (const found of ranks) {  // the better ones fill the list: the others need no order
        if (shown.length >= most) break;
        found.sort((one, other) => one.name.length - other.name.length || (one.name < other.name ? -1 : 1));
        shown.push(...found.slice(0, most - shown.length));
      }
      for (const [at, entry] of shown.entries()) {
        const item = document.createElement("li"), more = document.createElement("small");
        item.id = "hit-" + at;
        item.setAttribute("role", "option");
        item.append(entry.name);
        more.textContent = entry.kind + (entry.words ? " · " + entry.words.slice(0, 90) : "");
        item.append(more);
        item.addEventListener("click", () => { location.href = address(entry); });
        list.append(item);
      }
      if (!shown.length) {
        const item = document.createElement("li");
        item.setAttribute("role", "option");
        item.setAttribute("aria-disabled", "true");
        item.textContent = words.no_results;
        list.append(item);
      }
    }
    list.hidden = !list.children.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    choose(shown.length ? 0 : -1, false);
    if (entries && asked) list.dataset.ms = (performance.now() - begun).toFixed(2);
  };
  input.addEventListener("focus", load);
  input.addEventListener("input", () => { load(); search(); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (shown.length) choose((chosen + (event.key === "ArrowDown" ? 1 : -1) + shown.length) % shown.length);
    } else if (event.key === "Escape") {
      input.value = "";
      search();
      input.blur();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (shown[chosen]) location.href = address(shown[chosen]);
  });
  document.addEventListener("click", (event) => { if (!form.contains(event.target)) list.hidden = true; });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
    }
  });

  if (location.protocol === "http:") {
    // Served on loopback by qtrace atlas --serve: a new atlas is shown at once.
    let built = "";
    setInterval(async () => {
      try {
        const mark = await (await fetch(here.root + "atlas.json")).json();
        if (built && built !== mark.built) location.reload();
        built = mark.built;
      } catch (away) { /* it is being made anew */ }
    }, 1000);
  }

  const filters = document.getElementById("filters");
  if (filters) {
    const table = document.querySelector("table.grid");
    const rows = [...table.tBodies[0].rows];
    const value = (name) => {
      const field = filters.querySelector(`[data-filter="${name}"]`);
      return !field ? "" : field.type === "checkbox" ? field.checked : field.value.trim().toLowerCase();
    };
    const apply = () => {
      const wanted = Object.fromEntries(["name", "built", "arch", "bus", "walk", "measured"].map((name) => [name, value(name)]));
      for (const row of rows) {
        const data = row.dataset;
        row.hidden = !(
          (!wanted.name || data.name.toLowerCase().includes(wanted.name)) &&
          (!wanted.built || data.built === "1") &&
          (!wanted.arch || !data.arch || data.arch.toLowerCase().split(" ").includes(wanted.arch)) &&
          (!wanted.bus || data.bus.toLowerCase().split(" ").includes(wanted.bus)) &&
          (!wanted.walk || row.querySelector("td.walk, td.vhost")) &&
          (!wanted.measured || row.querySelector("td[data-measured]"))
        );
      }
      const heads = [...table.tHead.rows[0].cells];
      heads.forEach((head, at) => {
        if (!head.dataset.built) return;
        const out = Boolean(wanted.built) && head.dataset.built !== "1";
        head.hidden = out;
        rows.forEach((row) => { row.cells[at].hidden = out; });
      });
      filters.querySelector("output").textContent = `${rows.filter((row) => !row.hidden).length} / ${rows.length}`;
    };
    filters.hidden = false;
    filters.addEventListener("input", apply);
    filters.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }
})();
