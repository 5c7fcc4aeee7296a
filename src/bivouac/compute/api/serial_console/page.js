// The terminal of a serial line: what the guest writes is shown, what is typed goes to the guest.
// The page's own address, as a WebSocket, is the line.
"use strict";

const state = document.getElementById("state");
const terminal = new Terminal({ cols: 80, rows: 25, scrollback: 5000, cursorBlink: true });
terminal.open(document.getElementById("terminal"));
terminal.focus();

const line = new WebSocket(location.href.replace(/^http/, "ws").replace(/#.*$/, ""), ["binary"]);
line.binaryType = "arraybuffer";

// A character may be split between two messages: the decoder keeps the beginning.
const decoder = new TextDecoder();
const encoder = new TextEncoder();

line.onopen = () => { state.textContent = "Connected. Press Enter if the screen stays empty."; };
line.onmessage = (message) => terminal.write(decoder.decode(message.data, { stream: true }));
line.onclose = (event) => {
  state.textContent = "Closed. " + (event.reason || "Ask for a new address to connect again.");
};

const send = (text) => { if (line.readyState === WebSocket.OPEN) { line.send(encoder.encode(text)); } };
if (terminal.onData) { terminal.onData(send); } else { terminal.on("data", send); } // since and before release 4
