// A button with data-second opens a second window beside this one, with the page that it names or else this page.
for (const button of document.querySelectorAll("[data-second]")) {
  button.addEventListener("click", () => {
    const { availLeft = 0, availTop = 0, availWidth, availHeight } = screen;
    const onTheLeft = screenX - availLeft;
    const onTheRight = availLeft + availWidth - screenX - outerWidth;
    const width = Math.max(360, Math.min(availWidth / 2, Math.max(onTheLeft, onTheRight)));
    const left = onTheLeft > onTheRight ? availLeft : availLeft + availWidth - width;
    const place = Object.entries({ width, height: availHeight, left, top: availTop }).map(([name, value]) => `${name}=${Math.round(value)}`);
    open(button.dataset.second || location.href, "_blank", `popup,noopener,${place}`);
  });
}
