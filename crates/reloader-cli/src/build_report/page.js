"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { units, files } = data;
  const number = new Intl.NumberFormat("en");

  // Every name goes into the page as text, and what would hide or turn it around is spelled out.
  const shown = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`);
  const element = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = shown(String(text));
    if (kind) made.className = kind;
    return made;
  };

  // Several units may be made from one source; then the module tells them apart.
  const named = new Map();
  for (const unit of units) named.set(unit.name, (named.get(unit.name) ?? 0) + 1);
  const called = (unit) =>
    named.get(unit.name) > 1 && unit.module ? `${unit.name} (${unit.module})` : unit.name;

  // The map: directories side by side, in each its units, largest first.
  const map = document.getElementById("map");
  const detail = document.getElementById("detail");
  const directory = (name) => name.slice(0, Math.max(name.lastIndexOf("/"), name.lastIndexOf("\\"), 0));
  const base = (name) => name.slice(directory(name).length).replace(/^[/\\]/, "");
  const hue = (text) => {
    let hash = 0;
    for (const letter of text) hash = (hash * 31 + letter.codePointAt(0)) % 3600;
    return (hash * 137.5) % 360;
  };

  const groups = new Map();
  units.forEach((unit, index) => {
    if (unit.size === 0) return;
    const key = directory(unit.name);
    if (!groups.has(key)) groups.set(key, { size: 0, tiles: [] });
    const group = groups.get(key);
    group.size += unit.size;
    group.tiles.push({ index, size: unit.size });
  });
  const ordered = [...groups.values()].sort((a, b) => b.size - a.size);
  const tiles = [];
  for (const group of ordered) {
    group.tiles.sort((a, b) => b.size - a.size);
    for (const tile of group.tiles) {
      const unit = units[tile.index];
      tile.button = element("button", base(unit.name) || unit.name);
      tile.button.type = "button";
      tile.button.tabIndex = -1;
      tile.button.title = shown(`${called(unit)}: ${number.format(unit.size)} bytes`);
      tile.button.setAttribute("aria-label", tile.button.title);
      tile.button.style.setProperty("--hue", hue(directory(unit.name)));
      tile.button.addEventListener("click", () => { rove(tile); showUnit(tile.index); });
      tiles.push(tile);
    }
  }
  tiles.sort((a, b) => b.size - a.size);
  map.append(...tiles.map((tile) => tile.button));
  if (tiles.length === 0) map.replaceChildren(element("p", "No sizes are known.", "hint"));

  // Squarified (Bruls, Huizing, van Wijk): a row is begun anew when one more makes it worse.
  const squarify = (items, x, y, width, height, place) => {
    let total = items.reduce((sum, item) => sum + item.size, 0);
    let start = 0;
    while (start < items.length && width > 0 && height > 0 && total > 0) {
      const side = Math.min(width, height);
      const scale = (width * height) / total;
      let sum = 0;
      let end = start;
      let worst = Infinity;
      while (end < items.length) {
        const area = (sum + items[end].size) * scale;
        const most = items[start].size * scale;
        const least = items[end].size * scale;
        const ratio = Math.max((side * side * most) / (area * area), (area * area) / (side * side * least));
        if (ratio > worst) break;
        worst = ratio;
        sum += items[end].size;
        end += 1;
      }
      const depth = (sum * scale) / side;
      let along = 0;
      for (let at = start; at < end; at += 1) {
        const length = side * (items[at].size / sum);
        if (width >= height) place(items[at], x, y + along, depth, length);
        else place(items[at], x + along, y, length, depth);
        along += length;
      }
      if (width >= height) { x += depth; width -= depth; } else { y += depth; height -= depth; }
      total -= sum;
      start = end;
    }
  };
  const lay = () => {
    squarify(ordered, 0, 0, map.clientWidth, map.clientHeight, (group, x, y, width, height) => {
      squarify(group.tiles, x, y, width, height, (tile, left, top, wide, high) => {
        tile.at = { x: left + wide / 2, y: top + high / 2 };
        Object.assign(tile.button.style,
          { left: `${left}px`, top: `${top}px`, width: `${wide}px`, height: `${high}px` });
        tile.button.hidden = wide < 2 || high < 2;
      });
    });
  };
  lay();
  new ResizeObserver(lay).observe(map);

  // One tile at a time is in the order of the Tab key; the arrows go to the nearest that way.
  let roving = tiles[0];
  const rove = (tile) => {
    roving.button.tabIndex = -1;
    roving = tile;
    roving.button.tabIndex = 0;
    roving.button.focus();
  };
  if (roving) roving.button.tabIndex = 0;
  const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  map.addEventListener("keydown", (event) => {
    const seen = tiles.filter((tile) => tile.at && !tile.button.hidden);
    const way = ways[event.key];
    let next;
    if (event.key === "Home") next = seen[0];
    else if (event.key === "End") next = seen[seen.length - 1];
    else if (way) {
      let least = Infinity;
      for (const tile of seen) {
        const dx = tile.at.x - roving.at.x;
        const dy = tile.at.y - roving.at.y;
        const ahead = dx * way[0] + dy * way[1];
        const aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
        if (ahead > 0.5 && ahead + 2 * aside < least) { least = ahead + 2 * aside; next = tile; }
      }
    }
    if (!next || next === roving) return;
    event.preventDefault();
    rove(next);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    choose([]);
    detail.replaceChildren();
  });

  const choose = (indices) => {
    const chosen = new Set(indices);
    map.classList.toggle("choosing", chosen.size > 0);
    for (const tile of tiles) tile.button.classList.toggle("chosen", chosen.has(tile.index));
  };
  const facts = (pairs) => {
    const list = element("dl");
    for (const [term, value] of pairs) {
      if (value === null || value === undefined || value === "") continue;
      list.append(element("dt", term), element("dd", value));
    }
    return list;
  };
  const showUnit = (index) => {
    const unit = units[index];
    choose([index]);
    const least = unit.partial ? "at least " : "";
    detail.replaceChildren(element("h3", called(unit)), facts([
      ["size", `${number.format(unit.size)} bytes`],
      ["kind", unit.kind], ["language", unit.language], ["toolchain", data.toolchains[unit.toolchain]?.name],
      ["module", unit.module], ["object", unit.object], ["directory", unit.cwd], ["command", unit.command],
      ["command from", unit.from], ["flags", unit.flags.join(", ")],
      ["files", `${least}${number.format(unit.files.length)}`],
    ]), fold("Files", unit.files.map((file) => files[file].path)));
  };
  const showFile = (index) => {
    const file = files[index];
    choose(file.units);
    detail.replaceChildren(element("h3", file.path), facts([
      ["dependants", number.format(file.units.length)],
      ["there", file.exists === null ? "not looked for" : file.exists ? "yes" : "no"],
    ]), fold("Dependants", file.units.map((unit) => called(units[unit]))));
  };
  const fold = (title, names) => {
    const folded = element("details");
    const list = element("ul");
    list.append(...names.map((name) => element("li", name)));
    folded.append(element("summary", title), list);
    return folded;
  };

  // Tables: sorted by their columns, filtered, and shown a part at a time.
  const PART = 200;
  const table = (where, columns, rows, by) => {
    const section = document.getElementById(where);
    const filter = element("input");
    filter.type = "search";
    filter.placeholder = "Filter";
    filter.setAttribute("aria-label", `Filter ${where}`);
    const made = element("table");
    const head = made.createTHead().insertRow();
    const body = made.createTBody();
    const more = element("button", "Show more", "more");
    more.type = "button";
    let sorted = by;
    let descending = true;
    let limit = PART;
    const heads = columns.map((column, at) => {
      const cell = element("th", undefined, column.number ? "number" : "");
      cell.scope = "col";
      const button = element("button", column.title);
      button.type = "button";
      button.addEventListener("click", () => {
        descending = sorted === at ? !descending : Boolean(column.number);
        sorted = at;
        draw();
      });
      cell.append(button);
      head.append(cell);
      return cell;
    });
    const compare = new Intl.Collator("en").compare;
    const draw = () => {
      const wanted = filter.value.toLowerCase();
      const { of, number: isNumber } = columns[sorted];
      const found = rows.filter((row) =>
        !wanted || columns.some((column) => String(column.of(row)).toLowerCase().includes(wanted)));
      found.sort((a, b) => (isNumber ? of(a) - of(b) : compare(of(a), of(b))) * (descending ? -1 : 1));
      heads.forEach((cell, at) => {
        if (at === sorted) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
        else cell.removeAttribute("aria-sort");
      });
      body.replaceChildren(...found.slice(0, limit).map((row) => {
        const line = element("tr");
        for (const column of columns) {
          const value = column.of(row);
          const text = column.number ? number.format(value) + (column.mark?.(row) ?? "") : value;
          const cell = element("td", column.open ? undefined : text, column.number ? "number" : "name");
          if (column.open) {
            const button = element("button", text, column.kind?.(row));
            button.type = "button";
            button.addEventListener("click", () => {
              column.open(row);
              detail.scrollIntoView({ block: "nearest" });
            });
            cell.append(button);
          }
          line.append(cell);
        }
        return line;
      }));
      more.hidden = found.length <= limit;
    };
    filter.addEventListener("input", () => { limit = PART; draw(); });
    more.addEventListener("click", () => { limit += PART * 5; draw(); });
    const scroll = element("div", undefined, "scroll");
    scroll.append(made);
    section.append(...(rows.length > 10 ? [filter] : []), scroll, more);
    draw();
  };
  const numbered = (all) => all.map((row, index) => ({ ...row, index }));
  table("units", [
    { title: "size", number: true, of: (unit) => unit.size },
    { title: "files", number: true, of: (unit) => unit.files.length, mark: (unit) => unit.partial ? "+" : "" },
    { title: "language", of: (unit) => unit.language ?? "" },
    { title: "unit", of: called, open: (unit) => showUnit(unit.index) },
  ], numbered(units), 0);
  table("files", [
    { title: "dependants", number: true, of: (file) => file.units.length },
    { title: "file", of: (file) => file.path, open: (file) => showFile(file.index),
      kind: (file) => file.exists === false ? "missing" : "" },
  ], numbered(files), 0);
  table("toolchains", [
    { title: "units", number: true, of: (one) => one.units },
    { title: "bytes", number: true, of: (one) => one.size },
    { title: "toolchain", of: (one) => one.name },
  ], data.toolchains, 0);
  table("options", [
    { title: "units", number: true, of: (one) => one.units },
    { title: "option", of: (one) => one.option },
  ], data.options, 0);
  if (data.remarks.length > 0) {
    const section = document.getElementById("remarks");
    section.hidden = false;
    const list = element("ul");
    list.append(...data.remarks.map((remark) => element("li", remark)));
    section.append(list);
  }
})();
