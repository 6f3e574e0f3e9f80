// The language of a page. Both texts are in its HTML; CSS shows the one that <html lang> names. Attributes have their
// Chinese beside them: aria-label="Language" data-zh-aria-label="语言"; a title has it in data-zh.
// ?lang=en or ?lang=zh decides, else what was chosen last, else the browser.
(() => {
  const KEY = "widecast-demos.language";
  const ATTRIBUTES = ["aria-label", "placeholder", "title", "value"];
  const root = document.documentElement;

  // In a frame of another site there may be no storage.
  function remember(language) {
    try {
      localStorage.setItem(KEY, language);
    } catch {}
  }
  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {}
  }

  function speak(language) {
    const short = /^zh/i.test(language) ? "zh" : "en";
    const tag = short === "zh" ? "zh-Hans" : "en";
    if (root.lang !== tag) root.lang = tag;
    for (const attribute of ATTRIBUTES) {
      for (const element of document.querySelectorAll(`[data-zh-${attribute}]`)) {
        if (!element.hasAttribute(`data-en-${attribute}`)) element.setAttribute(`data-en-${attribute}`, element.getAttribute(attribute));
        element.setAttribute(attribute, element.getAttribute(`data-${short}-${attribute}`));
      }
    }
    const title = document.querySelector("title[data-zh]");
    if (title) document.title = short === "zh" ? title.dataset.zh : (title.dataset.en ??= title.textContent, title.dataset.en);
    for (const button of document.querySelectorAll("button[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === short));
    }
  }

  const asked = new URLSearchParams(location.search).get("lang");
  if (asked) remember(asked);
  const wanted = () => remembered() ?? asked ?? navigator.language;
  speak(wanted()); // before anything is painted, and once more when everything is there
  document.addEventListener("DOMContentLoaded", () => speak(wanted()));
  document.addEventListener("click", ({ target }) => {
    const language = target.closest?.("button[data-language]")?.dataset.language;
    if (!language) return;
    remember(language);
    history.replaceState(null, "", location.pathname + location.hash);
    speak(language);
  });
  addEventListener("storage", ({ key }) => key === KEY && speak(wanted())); // the other tabs follow
})();
