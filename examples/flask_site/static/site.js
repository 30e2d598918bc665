"use strict";

document.addEventListener("statuschange", ({ detail }) => {
  const line = document.createElement("li");
  const reason = detail.reason ? ` (${detail.reason.code})` : "";
  line.textContent = `${new Date().toLocaleTimeString()} ${detail.status}${reason}`;
  document.getElementById("seen").prepend(line);
});

for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => fetch(`/sandbox/${button.dataset.act}`, { method: "POST" }));
}
