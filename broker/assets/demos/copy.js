// A button with data-copy="ID" copies the text of the element with this id.
for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  button.addEventListener("click", async () => {
    await copy(source);
    button.dataset.copied = true;
    setTimeout(() => delete button.dataset.copied, 2000);
  });
}

async function copy(source) {
  // A page over plain HTTP from another machine has no clipboard of its own: there the text is selected and copied.
  if (navigator.clipboard) return navigator.clipboard.writeText(source.textContent);
  getSelection().selectAllChildren(source);
  document.execCommand("copy");
}
