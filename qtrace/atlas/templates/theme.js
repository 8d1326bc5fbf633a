// Before the page is drawn: the reader's own choice of light or dark, where there is one.
(() => {
  try {
    const chosen = localStorage.getItem("atlas-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch (refused) { /* a browser that keeps nothing for files */ }
})();
