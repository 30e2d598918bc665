const at = (id) => document.getElementById(id);

function item(text, small, className = "") {
  const li = document.createElement("li"), head = document.createElement("span"), rest = document.createElement("small");
  head.textContent = text;
  head.className = className;
  rest.textContent = small;
  li.append(head, rest);
  return li;
}

function show(state) {
  at("app").textContent = `${state.app} \u00b7 ${state.connections} connected \u00b7 ${state.messages} messages`;
  at("users").replaceChildren(...state.users.map((user) => {
    const status = user.status === "available" ? "online" : "offline";
    return item(user.name, `${user.uid}, ${status}`, status);
  }));
  const talks = state.conversations.map((each) => item(each.title, each.last));
  at("conversations").replaceChildren(...(talks.length ? talks : [item("None yet", "A message starts one.")]));
  for (const button of document.querySelectorAll("button[aria-pressed]")) {
    button.setAttribute("aria-pressed", String(state.faults.includes(button.dataset.fault)));
  }
}

at("faults").addEventListener("click", async (event) => {
  const { fault } = event.target.dataset;
  if (!fault) return;
  try {
    const answer = await fetch(`/page/faults/${fault}`, { method: "POST" });
    at("result").textContent = await answer.text();
  } catch {
    at("result").textContent = "The sandbox does not answer.";
  }
});

const events = new EventSource("/page/events");
events.onopen = () => { at("contact").textContent = "live"; };
events.onerror = () => { at("contact").textContent = "no contact, trying again"; };
events.onmessage = (event) => show(JSON.parse(event.data));
