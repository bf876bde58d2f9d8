// An application in strict mode, which mounts everything twice.
import { StrictMode, createElement, useState } from "react";
import { createRoot } from "react-dom/client";
import { useSessionKeepAlive } from "@slidecar/client/react";

function Session() {
  const { state, reason, extend, logout } = useSessionKeepAlive();
  const [answer, setAnswer] = useState("");
  const ask = (what) => async () => setAnswer(String(await what()));
  return [
    createElement("p", { key: 1 }, `${state} ${reason ?? ""} ${answer}`),
    createElement("button", { key: 2, onClick: ask(extend) }, "extend"),
    createElement("button", { key: 3, onClick: ask(logout) }, "logout"),
  ];
}
createRoot(document.getElementById("root")).render(createElement(StrictMode, null, createElement(Session)));
