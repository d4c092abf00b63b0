// Sets the chosen theme before the first paint, so that nothing flashes. It is a file of its own and
// not a module, because modules run after the first paint, and the page's Content-Security-Policy
// forbids inline scripts. src/app/theme.ts stores the theme.
(() => {
  try {
    const scope = new URL(".", location.href).pathname;
    const theme = JSON.parse(localStorage.getItem(`streamhub:${scope}:theme`) ?? "null");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // No storage, or an invalid value: keep the system's theme.
  }
})();
