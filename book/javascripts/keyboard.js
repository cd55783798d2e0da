// What Material leaves undone for those who use a keyboard or a screen reader: code and tables that are wider than
// their box can be reached and scrolled, also before they have come into view, and the buttons on each block of code
// have a name of their own.

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
