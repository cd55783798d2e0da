// What Material leaves undone for those who use a keyboard, a screen reader or paper: code and tables that are wider
// than their box can be reached and scrolled, also before they have come into view, the buttons on each block of code
// have a name of their own, and what is folded away is printed.

const reachable = () =>
  document.querySelectorAll("pre > code, .md-typeset__scrollwrap").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  });

let blocks = 0;
new MutationObserver(() =>
  document.querySelectorAll("nav.md-code__nav:not([aria-label])").forEach((nav) => {
    nav.setAttribute("aria-label", `Code ${++blocks}`);
  }),
).observe(document.body, { childList: true, subtree: true });

addEventListener("load", reachable);
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);

let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("article details:not([open])")];
  unfolded.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => unfolded.forEach((details) => (details.open = false)));
