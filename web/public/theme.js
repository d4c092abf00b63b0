// Before the first paint: the theme that was chosen, so that nothing flashes. It is a file of
// its own and no module because modules run after the paint, and inline scripts not at all
// under the page's Content-Security-Policy. src/app/theme.ts writes what is read here.
(() => {
  try {
    const scope = new URL(".", location.href).pathname;
    const theme = JSON.parse(localStorage.getItem(`streamhub:${scope}:theme`) ?? "null");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // No storage, or something else in it: the system's theme it is.
  }
})();
