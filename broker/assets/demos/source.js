// Shows a file of this folder as text: <details data-source="chat.js"><summary>…</summary><pre></pre></details>
const TOKENS = /(\/\/.*|\/\*[^]*?\*\/)|("[^"\n]*"|`[^`]*`)|\b(import|from|export|const|let|function|async|await|return|for|of|in|if|else|while|new|class|null|true|false)\b/g;

for (const details of document.querySelectorAll("details[data-source]")) {
  const show = async () => {
    const answer = await fetch(details.dataset.source);
    const text = await answer.text();
    const pre = details.querySelector("pre");
    pre.tabIndex = 0; // so that the keyboard can scroll it
    let end = 0;
    for (const match of text.matchAll(TOKENS)) {
      const [token, comment, string] = match;
      const kind = comment ? "comment" : string ? "string" : "keyword";
      pre.append(text.slice(end, match.index), Object.assign(document.createElement("span"), { className: kind, textContent: token }));
      end = match.index + token.length;
    }
    pre.append(text.slice(end));
  };
  details.addEventListener("toggle", show, { once: true });
}
