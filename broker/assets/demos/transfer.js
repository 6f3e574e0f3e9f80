// A line in the list: the name of a file, how far it is, and at the end the file itself.
export class Transfer {
  constructor({ name, size }, state, cancel) {
    this.line = document.getElementById("transfer").content.firstElementChild.cloneNode(true);
    this.line.dataset.state = state;
    this.part("name").textContent = name;
    this.part("size").textContent = shown(size);
    this.part("cancel").hidden = !cancel;
    this.part("cancel").addEventListener("click", cancel);
    document.getElementById("transfers").prepend(this.line);
    document.getElementById("nothing").hidden = true;
  }

  part(name) {
    return this.line.querySelector(`.${name}`);
  }

  progress(share) {
    this.part("bar").value = share;
  }

  end(state, file) {
    this.line.dataset.state = state;
    this.part("cancel").hidden = true;
    if (!file) return;
    const url = URL.createObjectURL(file);
    Object.assign(this.part("save"), { href: url, download: file.name, hidden: false });
    if (file.type.startsWith("image/")) Object.assign(this.part("preview"), { src: url, hidden: false });
  }
}

function shown(size) {
  const unit = size < 1024 ? 0 : size < 1024 ** 2 ? 1 : 2;
  return `${(size / 1024 ** unit).toFixed(unit && 1)} ${["B", "KiB", "MiB"][unit]}`;
}
