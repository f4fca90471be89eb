// What the page asks of the server. A token, where the server wants one, stays in this tab.

const root = document.body.dataset.root;
const TOKEN = "dfdetect-token";

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value) => sessionStorage.setItem(TOKEN, value),
};

// An RFC 9457 problem, from the server or of the connection.
export class Problem extends Error {
  constructor({ type = "about:blank", title = "Something went wrong", status = 0, detail = "" }) {
    super(detail || title);
    Object.assign(this, { type, title, status, detail });
  }
}

const lost = () =>
  new Problem({
    title: "The server cannot be reached",
    detail: "The connection failed. Check that the server is running, and try again.",
  });

function headers() {
  return token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
}

function problemFrom(status, text) {
  try {
    return new Problem({ status, ...JSON.parse(text) });
  } catch {
    return new Problem({ status, title: "The server failed", detail: `It answered with status ${status}.` });
  }
}

// fetch with the token; throws a Problem for whatever is no success.
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(root + path, { ...options, headers: headers() });
  } catch (error) {
    throw error.name === "AbortError" ? error : lost();
  }
  if (!response.ok) throw problemFrom(response.status, await response.text());
  return response;
}

// Sends a file; progress gets shares from 0 to 1. fetch tells nothing of an upload's progress.
export function upload(file, progress, signal) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    const body = new FormData();
    body.append("video", file);
    sent.open("POST", `${root}/api/v1/jobs`);
    for (const [name, value] of Object.entries(headers())) sent.setRequestHeader(name, value);
    sent.upload.onprogress = (event) => progress(event.loaded / event.total);
    sent.onload = () =>
      sent.status === 202
        ? resolve(JSON.parse(sent.responseText))
        : reject(problemFrom(sent.status, sent.responseText));
    sent.onerror = () => reject(lost());
    sent.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => sent.abort());
    sent.send(body);
  });
}

// Server-sent events, read by fetch: EventSource cannot send a token.
export async function* events(path, signal) {
  const response = await request(path, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (waiting + value.replaceAll("\r", "")).split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => line.split(/: ?(.*)/s));
      const text = fields.filter(([name]) => name === "data").map(([, data]) => data);
      const name = fields.find(([field]) => field === "event")?.[1] ?? "message";
      if (text.length) yield { name, data: JSON.parse(text.join("\n")) };
    }
  }
}
