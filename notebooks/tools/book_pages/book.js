// Names for screen readers, where the theme gives none or another than can be seen.
for (const summary of document.querySelectorAll(".bd-sidebar-primary summary")) {
  summary.setAttribute("aria-label", "More pages");
}
for (const button of document.querySelectorAll(".search-button-field")) {
  button.removeAttribute("aria-label");
}

// A translation is read aloud in its own language.
const language = location.pathname.match(/\/translations\/([a-z-]+)\//i);
if (language) document.querySelector("article").lang = language[1];
