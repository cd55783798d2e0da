(() => {
  const root = document.getElementById("IDENTITY");
  if (!root || root.dataset.ready !== undefined) return;
  const data = JSON.parse(root.querySelector("script").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const state = { launch: 0, step: 0, equation: 0, before: false, query: "" };

  // Making elements.

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };
  const draw = (tag, attributes, ...children) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const heading = (depth, text) => make(`h${Number(root.dataset.level) + depth}`, {}, text);
  const pane = (title, ...children) => make("div", { class: "pnr-pane", role: "group", "aria-label": title }, heading(0, title), ...children);
  const indexText = (index) => `(${index.join(", ")}${index.length === 1 ? "," : ""})`;

  // What there is.

  const launch = () => data.launches[state.launch];
  const step = () => launch().steps[state.step];
  const equations = () => (step() ? step().equations : []);
  const site = (equation) => data.sites[equation.site];
  const lineText = (line) => {
    const found = (data.sources[line[0]] || []).find(([number]) => number === line[1]);
    return found ? found[1].trim() : "";
  };
  const kindOf = (equation) => {
    const kinds = equation.accesses.map((access) => access.kind);
    return kinds.some((kind) => kind === "write" || kind === "add") ? "write" : kinds.includes("read") ? "read" : "other";
  };
  const fits = (equation, query) => {
    const line = equation.line ? `${equation.line[0]}:${equation.line[1]} ${lineText(equation.line)}` : "";
    const refs = equation.accesses.map((access) => `${access.kind} ${access.ref}`).join(" ");
    return `${site(equation).primitive} ${site(equation).text} ${line} ${refs}`.toLowerCase().includes(query);
  };

  // What refs hold: the contents at the step's beginning, with the writes up to an equation.

  const words = (value) => (value.words === undefined ? null : value.words === "" ? [] : value.words.split(" "));
  const contentsUntil = (last) => {
    const held = new Map();
    const put = (name, number) => {
      const value = data.values[number];
      held.set(name, { ...value, cells: words(value) });
    };
    for (const [name, number] of Object.entries(step().contents)) put(name, number);
    equations().slice(0, last + 1).forEach((equation) => equation.accesses.forEach((access) => {
      if (access.kind === "new") return put(access.ref, access.value);
      const ref = held.get(access.ref);
      if (access.kind === "read" || !ref || !ref.cells) return;
      if (access.lost) { ref.cells = null; return; }
      const after = access.after.split(" ");
      let next = 0;
      for (const [first, length] of access.runs) for (let i = first; i < first + length; i++) ref.cells[i] = after[next++];
    }));
    return held;
  };
  // An equation with others nested in it has ended when they have.
  const lastInside = (number) => {
    const depth = equations()[number].depth;
    let last = number;
    while (last + 1 < equations().length && equations()[last + 1].depth > depth) last++;
    return last;
  };

  const shapeText = (value) => `${value.dtype}[${value.shape.join(",")}]`;
  const isPart = (value) => value.words !== undefined && value.rows * value.columns < value.shape.reduce((a, b) => a * b, 1);
  const tableOf = (name, value, cells, marks = new Map()) => {
    const part = isPart(value) ? `, the first ${value.rows} × ${value.columns}` : "";
    const caption = make("caption", {}, `${name}: ${shapeText(value)}${part}`);
    if (!cells) return make("div", { class: "pnr-value" }, make("p", { class: "pnr-facts" }, `${name}: ${shapeText(value)}, not kept`));
    const rows = [];
    for (let row = 0; row < value.rows; row++) {
      const line = make("tr");
      for (let column = 0; column < value.columns; column++) {
        const at = row * value.columns + column, mark = marks.get(at);
        line.append(make("td", { "data-read": mark === "read", "data-write": mark === "write" }, cells[at] === "-" ? "–" : cells[at]));
      }
      rows.push(line);
    }
    return make("div", { class: "pnr-value" }, make("div", { class: "pnr-scroll", tabindex: 0, role: "group", "aria-label": name },
      make("table", { class: "pnr-table" }, caption, make("tbody", {}, ...rows))));
  };

  // Going somewhere.

  const clamp = (number, length) => Math.max(0, Math.min(length - 1, number));
  const goTo = (to) => {
    const before = [state.launch, state.step];
    Object.assign(state, to);
    state.launch = clamp(state.launch, data.launches.length);
    state.step = clamp(state.step, launch().steps.length);
    state.equation = clamp(state.equation, equations().length);
    if (before[0] !== state.launch) showLaunch();
    if (before[0] !== state.launch || before[1] !== state.step) showStep();
    showEquation();
  };
  const move = (by) => {
    const to = state.equation + by;
    if (to < 0 && state.step > 0) goTo({ step: state.step - 1, equation: Infinity });
    else if (to >= equations().length && state.step + 1 < launch().steps.length) goTo({ step: state.step + 1, equation: 0 });
    else goTo({ equation: to });
  };
  const search = (by) => {
    if (!state.query) return;
    const places = [];
    launch().steps.forEach((one, number) => one.equations.forEach((equation, i) => {
      if (fits(equation, state.query)) places.push([number, i]);
    }));
    if (!places.length) { found.textContent = "nothing found"; return; }
    const order = ([s, e]) => (s === state.step ? e - state.equation : (s - state.step) * 1e9);
    const place = by > 0 ? places.find((p) => order(p) > 0) || places[0] : places.findLast((p) => order(p) < 0) || places.at(-1);
    goTo({ step: place[0], equation: place[1] });
    found.textContent = `${places.indexOf(place) + 1} of ${places.length}`;
  };

  // The parts that stay.

  const button = (text, label, act) => make("button", { type: "button", "aria-label": label, onclick: act }, text);
  const launches = make("select", { "aria-label": "Launch", onchange: () => goTo({ launch: Number(launches.value), step: 0, equation: 0 }) },
    ...data.launches.map((one, i) => make("option", { value: i }, `${i + 1}: ${one.kernel}`)));
  const facts = make("p", { class: "pnr-facts" });
  const grid = make("div", { class: "pnr-scroll" });
  const arrays = make("div", { class: "pnr-arrays" });
  const timeline = draw("svg", { class: "pnr-timeline", preserveAspectRatio: "none", "aria-hidden": "true" });
  const stepSlider = make("input", { type: "range", min: 1, "aria-label": "Step", oninput: () => goTo({ step: stepSlider.value - 1, equation: 0 }) });
  const stepBar = make("div", { class: "pnr-bar" }, make("span", {}, "step"), stepSlider);
  const now = make("p", { class: "pnr-now", "aria-live": "polite" });
  const query = make("input", { type: "search", placeholder: "primitive, ref, line", "aria-label": "Search the equations",
    oninput: () => { state.query = query.value.trim().toLowerCase(); found.textContent = ""; markFound(); },
    onkeydown: (event) => { if (event.key === "Enter") { search(event.shiftKey ? -1 : 1); event.preventDefault(); } event.stopPropagation(); } });
  const found = make("span", { class: "pnr-facts", role: "status" });
  const source = make("div", { class: "pnr-code", tabindex: 0, role: "group", "aria-label": "Source" });
  const list = make("div", { class: "pnr-list", role: "group", "aria-label": "Equations" });
  const values = make("div", { class: "pnr-refs" });
  const refs = make("div", { class: "pnr-refs" });
  const when = make("button", { type: "button", "aria-pressed": "false", onclick: () => { state.before = !state.before; showEquation(); } }, "show before");

  // What changes with the launch, the step, the equation.

  const showLaunch = () => {
    const one = launch();
    launches.value = state.launch;
    facts.textContent = `${one.kernel}, grid ${indexText(one.grid)}, ${one.steps.length} steps; asked for ${one.engine}`;
    stepSlider.max = one.steps.length;
    stepBar.hidden = one.steps.length < 2;
    const columns = one.grid.length ? one.grid.at(-1) : 1;
    const cells = one.steps.length > 256 ? [] : one.steps.map((each, number) => make("button", {
      type: "button", tabindex: -1, "aria-label": `step ${indexText(each.index)}`,
      onclick: () => goTo({ step: number, equation: 0 }),
      onkeydown: (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
        if (!by) return;
        goTo({ step: number + by, equation: 0 });
        grid.querySelectorAll("button")[state.step].focus();
        event.preventDefault(); event.stopPropagation();
      },
    }, each.index.length ? each.index.join(",") : "()"));
    if (!cells.length) { grid.replaceChildren("Too many steps to draw: the slider above goes through them."); return; }
    grid.replaceChildren(make("div", { class: "pnr-grid", role: "group", "aria-label": "Grid",
      style: `grid-template-columns:repeat(${columns},auto)` }, ...cells));
  };

  const showStep = () => {
    const here = step();
    stepSlider.value = state.step + 1;
    if (!here) return;
    stepSlider.setAttribute("aria-valuetext", `step ${indexText(here.index)}`);
    grid.querySelectorAll("button").forEach((cell, i) => {
      cell.setAttribute("aria-pressed", i === state.step);
      cell.tabIndex = i === state.step ? 0 : -1;
    });
    arrays.replaceChildren(...launch().operands.filter((operand) => here.blocks[operand.name]).map((operand) => arrayFigure(operand, here.blocks[operand.name])));
    drawTimeline();
    list.replaceChildren(...equations().map((equation, i) => {
      const line = equation.line ? `${equation.line[1]}` : "";
      return make("button", { type: "button", class: "pnr-row", tabindex: -1, onclick: () => goTo({ equation: i }) },
        make("span", { class: "pnr-number" }, line), "  ".repeat(equation.depth) + site(equation).text);
    }));
    markFound();
  };

  const arrayFigure = (operand, block) => {
    const shape = operand.shape.length > 1 ? operand.shape.slice(-2) : [1, ...operand.shape, 1].slice(0, 2);
    const places = block.length > 1 ? block.slice(-2) : [[0, 1], ...block, [0, 1]].slice(0, 2);
    const unit = 110 / Math.max(...shape, 1);
    const [height, width] = shape.map((size) => Math.max(size * unit, 10));
    const scale = [height / Math.max(shape[0], 1), width / Math.max(shape[1], 1)];
    const from = places.map(([start]) => Math.max(start, 0));
    const to = places.map(([start, length], axis) => Math.min(start + length, shape[axis]));
    const lit = draw("rect", { class: `pnr-${operand.role}`, x: from[1] * scale[1], y: from[0] * scale[0],
      width: Math.max((to[1] - from[1]) * scale[1], 1), height: Math.max((to[0] - from[0]) * scale[0], 1) });
    const where = block.map(([start, length]) => `${start}:${start + length}`).join(", ");
    return make("figure", {},
      draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `block [${where}] of ${operand.name}, ${shapeText(operand)}` },
        draw("rect", { class: "pnr-array", width, height }), lit),
      make("figcaption", {}, `${operand.name}[${where}]`, make("br"), make("span", { class: "pnr-facts" }, `${operand.role} ${shapeText(operand)}`)));
  };

  const drawTimeline = () => {
    const length = equations().length;
    timeline.setAttribute("viewBox", `0 0 ${Math.max(length, 1)} 10`);
    const width = Math.ceil(length / 1200) || 1; // equations in one bar
    const bars = [];
    for (let first = 0; first < length; first += width) {
      const kinds = equations().slice(first, first + width).map(kindOf);
      const kind = ["write", "read", "other"].find((one) => kinds.includes(one));
      const depth = Math.min(equations()[first].depth, 4);
      bars.push(draw("rect", { x: first, y: depth, width: width * 0.85, height: 10 - depth, fill: `var(--pnr-${kind})`, "fill-opacity": 0.55 }));
    }
    timeline.replaceChildren(...bars, draw("rect", { class: "pnr-cursor", y: 0, height: 10, width: Math.max(width * 0.85, length / 300) }));
  };
  const pointed = (event) => {
    const box = timeline.getBoundingClientRect();
    goTo({ equation: Math.floor(((event.clientX - box.left) / box.width) * equations().length) });
  };
  timeline.addEventListener("pointerdown", (event) => { timeline.setPointerCapture(event.pointerId); pointed(event); });
  timeline.addEventListener("pointermove", (event) => { if (event.buttons) pointed(event); });

  const markFound = () => {
    const rows = list.children;
    equations().forEach((equation, i) => rows[i].toggleAttribute("data-found", state.query !== "" && fits(equation, state.query)));
  };

  const showEquation = () => {
    const equation = equations()[state.equation];
    const length = equations().length;
    const ends = [state.equation === 0 && state.step === 0, state.equation >= length - 1 && state.step >= launch().steps.length - 1];
    if (!equation) {
      now.textContent = "no equations were kept of this step";
      controls.show(0, 0, now.textContent, ...ends);
      return;
    }
    const text = `step ${indexText(step().index)}, equation ${state.equation + 1} of ${length}: ${site(equation).text}${equation.ended ? "" : " (failed here)"}`;
    controls.show(state.equation, length, text, ...ends);
    now.textContent = text;
    timeline.querySelector(".pnr-cursor").setAttribute("x", state.equation);
    const into = (box, child) => { if (child) box.scrollTop = child.offsetTop - box.clientHeight / 2 + child.offsetHeight / 2; };
    [...list.children].forEach((row, i) => { row.toggleAttribute("data-now", i === state.equation); row.tabIndex = i === state.equation ? 0 : -1; });
    into(list, list.children[state.equation]);
    showSource(equation, into);
    showValues(equation);
    showRefs(equation);
  };

  const showSource = (equation, into) => {
    if (!equation.line) { source.replaceChildren("no line of yours is known behind this equation"); return; }
    const [file, current] = equation.line;
    const rows = (data.sources[file] || []).map(([number, text]) => make("div", { class: "pnr-row", "data-now": number === current,
      onclick: () => goToLine(file, number) }, make("span", { class: "pnr-number" }, `${number}`), text || " "));
    source.replaceChildren(heading(1, file), ...rows);
    into(source, source.querySelector("[data-now]"));
  };
  const goToLine = (file, number) => {
    const on = (equation) => equation.line && equation.line[0] === file && equation.line[1] === number;
    const after = equations().findIndex((equation, i) => i > state.equation && on(equation));
    const first = after >= 0 ? after : equations().findIndex(on);
    if (first >= 0) goTo({ equation: first });
  };

  const showValues = (equation) => {
    const shown = (names, numbers) => numbers.map((number, i) => typeof number === "string"
      ? make("p", { class: "pnr-facts" }, `${number}, a ref`)
      : names[i] === "_" ? null // nobody reads it
      : tableOf(names[i], data.values[number], words(data.values[number]))).filter((each) => each !== null);
    const inputs = shown(site(equation).operands, equation.inputs), outputs = shown(site(equation).results, equation.outputs);
    values.replaceChildren(
      make("div", { class: "pnr-value" }, heading(1, "operands"), ...(inputs.length ? inputs : ["none"])),
      make("div", { class: "pnr-value" }, heading(1, "results"), ...(outputs.length ? outputs : ["none"])));
  };

  const showRefs = (equation) => {
    when.setAttribute("aria-pressed", state.before);
    const last = lastInside(state.equation);
    const held = contentsUntil(state.before ? state.equation - 1 : last);
    const marks = new Map();
    equations().slice(state.equation, last + 1).forEach((one) => one.accesses.forEach((access) => {
      if (!marks.has(access.ref)) marks.set(access.ref, new Map());
      const kind = access.kind === "read" ? "read" : "write";
      for (const [first, length] of access.runs || []) {
        for (let i = first; i < first + length; i++) if (marks.get(access.ref).get(i) !== "write") marks.get(access.ref).set(i, kind);
      }
    }));
    refs.replaceChildren(...[...held].map(([name, value]) => tableOf(name, value, value.cells, marks.get(name))));
  };

  // The page.

  if (!data.launches.length) {
    root.append(make("p", {}, "No kernel ran."));
    root.dataset.ready = "";
    return;
  }

  const key = make("p", { class: "pnr-key pnr-facts" }, ...[["read", "read"], ["write", "written"], ["other", "computes"]].map(([kind, text]) =>
    make("span", {}, make("i", { style: `background:var(--pnr-${kind})` }), text)), make("span", {}, "– not written yet"));
  const wide = (node) => { node.classList.add("pnr-wide"); return node; };
  const notices = [...data.notices, ...(data.error ? [`failed: ${data.error}`] : [])].map((text) => make("pre", { class: "pnr-notice" }, text));
  const view = make("div", { class: "pnr-view", role: "group", "aria-label": "Recording" });
  const controls = stepping(view, "equation", { go: (equation) => goTo({ equation }), move, keys: {
    PageUp: () => goTo({ step: state.step - 1, equation: 0 }), PageDown: () => goTo({ step: state.step + 1, equation: 0 }),
    Home: () => goTo({ equation: 0 }), End: () => goTo({ equation: Infinity }),
    b: () => { state.before = !state.before; showEquation(); } } });
  view.append(
    wide(pane("Run", ...notices, make("div", { class: "pnr-bar" }, ...(data.launches.length > 1 ? [launches] : []), facts),
      stepBar,
      timeline, make("div", { class: "pnr-bar" }, make("span", {}, "equation"), ...controls.parts, query, button("Find", "Find the next", () => search(1)), found), now, key)),
    pane("Grid", grid), pane("Blocks", arrays), pane("Source", source), pane("Equations", list),
    wide(pane("Refs", when, refs)), wide(pane("This equation", values)));
  root.append(view);
  root.dataset.ready = "";
  showLaunch();
  showStep();
  showEquation();
})();
