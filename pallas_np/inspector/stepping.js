// Going through something step by step: buttons, a slider and arrow keys, and words for whoever does not see it.
// `noun` is what a step is called; `go(to)` goes to one, `move(by)` on or back; `keys` are further keys and what they do.
const stepping = (root, noun, { go, move, keys = {} }) => {
  const button = (text, by) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: text });
    made.setAttribute("aria-label", `${text} ${noun}`);
    made.addEventListener("click", () => move(by));
    return made;
  };
  const previous = button("Previous", -1), next = button("Next", 1);
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 1 });
  slider.setAttribute("aria-label", noun[0].toUpperCase() + noun.slice(1));
  slider.addEventListener("input", () => go(slider.value - 1));
  const acts = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), ...keys };
  root.addEventListener("keydown", (event) => {
    const { type, tagName } = event.target;
    if (type === "range" || tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!Object.hasOwn(acts, event.key)) return;
    acts[event.key]();
    event.preventDefault(); event.stopPropagation();
  });
  const show = (at, length, words, isFirst = at === 0, isLast = at >= length - 1) => {
    Object.assign(slider, { max: Math.max(length, 1), value: at + 1 });
    slider.setAttribute("aria-valuetext", words);
    for (const [made, isEnd] of [[previous, isFirst], [next, isLast]]) {
      if (isEnd && document.activeElement === made) slider.focus(); // a disabled button would hear no keys
      made.disabled = isEnd;
    }
  };
  return { parts: [previous, slider, next], show };
};
