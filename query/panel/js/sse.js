// Reads Server-Sent Events from a response: EventSource cannot send a key.

// events yields {event, data, id} of each event, and null for a heartbeat. It ends with the response.
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let current = { event: "message", data: [], id: null };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (current.data.length) yield { ...current, data: current.data.join("\n") };
          current = { event: "message", data: [], id: null };
        } else if (line.startsWith(":")) {
          yield null;
        } else {
          take(current, line);
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection may be gone
  }
}

function take(event, line) {
  const colon = line.indexOf(":");
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (field === "data") event.data.push(value);
  else if (field === "event") event.event = value;
  else if (field === "id") event.id = value;
}
