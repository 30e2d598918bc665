// 1. Each code block has a "Copy" button. It copies the input, without prompts and without output.
// 2. Long names in tables break between their words.
(function () {
  "use strict";

  function typed(text) {
    const lines = text.replace(/\n+$/, "").split("\n");
    const prompt = /^(>>> ?|\.\.\. ?|\$ )/;
    const commands = lines.filter((line) => prompt.test(line));
    return (commands.length ? commands.map((line) => line.replace(prompt, "")) : lines).join("\n") + "\n";
  }

  async function copy(text) {
    if (navigator.clipboard) {
      return navigator.clipboard.writeText(text);
    }
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const block of document.querySelectorAll("div.highlight:not(.highlight-text > div)")) {
      const pre = block.querySelector("pre");
      if (!pre) {
        continue;
      }
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await copy(typed(pre.textContent));
        button.textContent = "Copied";
        setTimeout(() => (button.textContent = "Copy"), 2000);
      });
      block.appendChild(button);
    }
    for (const name of document.querySelectorAll("table.docutils code.literal span.pre")) {
      const parts = name.textContent.split(/(?<=[_.,(\/])|(?<=[a-z])(?=[A-Z])/);
      name.replaceChildren(
        ...parts.flatMap((part) => {
          const whole = document.createElement("span");
          whole.style.whiteSpace = "nowrap";
          whole.textContent = part;
          return [whole, document.createElement("wbr")];
        }),
      );
    }
  });
})();
