(() => {
  const root = document.getElementById("IDENTITY");
  if (!root || root.dataset.ready !== undefined) return;
  const steps = [...root.querySelectorAll(".pnr-step")];
  let at = 0;
  const go = (to) => {
    at = Math.max(0, Math.min(steps.length - 1, to));
    steps.forEach((step, i) => step.toggleAttribute("data-now", i === at));
    const title = steps[at].querySelector(".pnr-title").textContent;
    controls.show(at, steps.length, title);
    if (root.dataset.ready !== undefined) said.textContent = title;
  };
  const controls = stepping(root, "step", { go, move: (by) => go(at + by) });
  const said = document.createElement("span"); // a screen reader says what changes in here
  said.className = "pnr-hidden";
  said.setAttribute("role", "status");
  const bar = document.createElement("div");
  bar.className = "pnr-bar";
  bar.append(...controls.parts);
  root.append(bar, said);
  go(0);
  root.dataset.ready = "";
})();
