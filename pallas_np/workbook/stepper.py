"""Pictures that a reader steps through by buttons, slider or arrow keys.  Without scripts they stand in a column."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from html import escape
from string import Template

from pallas_np.workbook.display import Html

# Printed, or without scripts, every step is shown.  The script works on its own element only.
PAGE = Template("""
<style>
.book-stepper{margin:1em 0}
.book-stepper[data-ready] .book-step{display:none}
.book-stepper[data-ready] .book-step[data-current]{display:block}
.book-stepper .book-step-title{margin:.3em 0;font-weight:600;font-size:.9em}
.book-stepper .book-step-controls{display:flex;gap:.6em;align-items:center;max-width:34em;margin-top:.4em}
.book-stepper .book-step-controls input{flex:1;min-width:4em;accent-color:currentColor}
.book-stepper button{font:inherit;font-size:.85em;padding:.35em .9em;border:1px solid currentColor;
border-radius:.2em;background:none;color:inherit;cursor:pointer}
.book-stepper button:disabled{opacity:.4;cursor:default}
.book-stepper .book-step-said{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
@media (pointer:coarse){.book-stepper button{padding:.8em 1.2em}.book-stepper .book-step-controls input{height:2.5em}}
@media print{.book-stepper .book-step{display:block!important;break-inside:avoid}
.book-stepper .book-step-controls{display:none!important}}
</style>
<div class="book-stepper" id="$id" role="group" aria-label="$label">
$steps
</div>
<script>
(() => {
  const root = document.getElementById("$id");
  if (!root || root.dataset.ready) return;
  const steps = [...root.querySelectorAll(".book-step")];
  const controls = document.createElement("div");
  controls.className = "book-step-controls";
  const button = (text, by) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", () => show(at + by));
    return made;
  };
  const slider = document.createElement("input");
  Object.assign(slider, {type: "range", min: 1, max: steps.length, value: 1});
  slider.setAttribute("aria-label", "Step");
  slider.addEventListener("input", () => show(slider.value - 1));
  const previous = button("Previous", -1), next = button("Next", 1);
  const said = document.createElement("span");  // a screen reader says what changes in here
  said.className = "book-step-said";
  said.setAttribute("role", "status");
  let at = 0;
  const show = (to) => {
    at = Math.max(0, Math.min(steps.length - 1, to));
    steps.forEach((step, i) => step.toggleAttribute("data-current", i === at));
    slider.value = at + 1;
    const title = steps[at].querySelector(".book-step-title").textContent;
    slider.setAttribute("aria-valuetext", title);
    if (root.dataset.ready !== undefined) said.textContent = title;
    previous.disabled = at === 0;
    next.disabled = at === steps.length - 1;
  };
  root.addEventListener("keydown", (event) => {
    if (event.target === slider) return;
    const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (by) { show(at + by); event.preventDefault(); event.stopPropagation(); }
  });
  controls.append(previous, slider, next);
  root.append(controls, said);
  show(0);
  root.dataset.ready = "";
})();
</script>
""")


def stepper(steps: Sequence[tuple[str, str]], label: str) -> Html:
    """Steps to go through one at a time.

    Args:
      steps: for each step its title and what it shows, as HTML.
      label: what all of it shows, for whoever does not see it.
    """
    shown = "\n".join(
        f'<div class="book-step"><p class="book-step-title">Step {number} of {len(steps)}: {escape(title)}</p>'
        f"{content}</div>"
        for number, (title, content) in enumerate(steps, 1)
    )
    identity = "stepper-" + hashlib.sha256((label + shown).encode()).hexdigest()[:12]
    return Html(PAGE.substitute(id=identity, label=escape(label), steps=shown))
