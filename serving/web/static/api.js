// What the page asks of the server. Where it wants a token, the browser asks for that itself and
// sends it along.

const RETRIES = 5; // of a lost connection, one after the other

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
const aborted = () => new DOMException("cancelled", "AbortError");

function problemFrom(status, text) {
  try {
    return new Problem({ status, ...JSON.parse(text) });
  } catch {
    const detail = `It answered with status ${status}.`;
    return new Problem({ status, title: "The server failed", detail });
  }
}

// fetch; throws a Problem for whatever is no success.
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : lost();
  }
  if (!response.ok) throw problemFrom(response.status, await response.text());
  return response;
}

// Sends a file; progress gets shares from 0 to 1. fetch tells nothing of an upload's progress.
// Once all is sent it cannot be aborted: the server may have a job already, whose id is needed.
export function upload(file, progress, signal) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    let whole = false;
    const body = new FormData();
    body.append("video", file);
    sent.open("POST", "/api/v1/jobs");
    sent.upload.onprogress = (event) => progress(event.loaded / event.total);
    sent.upload.onload = () => {
      whole = true;
    };
    sent.onload = () =>
      sent.status === 202
        ? resolve(JSON.parse(sent.responseText))
        : reject(problemFrom(sent.status, sent.responseText));
    sent.onerror = () => reject(lost());
    sent.onabort = () => reject(aborted());
    signal.addEventListener("abort", () => whole || sent.abort());
    sent.send(body);
  });
}

// Tells of a job's progress until it has ended, also over a connection that breaks off.
export function follow(id, progress, signal) {
  return new Promise((resolve, reject) => {
    const stream = new EventSource(`/api/v1/jobs/${id}/events`);
    let failures = 0;
    const close = (settle, value) => {
      stream.close();
      settle(value);
    };
    stream.addEventListener("progress", (event) => {
      failures = 0;
      progress(JSON.parse(event.data));
    });
    stream.addEventListener("end", () => close(resolve));
    stream.onerror = () => {
      // Refused: the job is gone or has ended, which whoever asks for it is told.
      if (stream.readyState === EventSource.CLOSED) close(resolve);
      else if (++failures > RETRIES) close(reject, lost());
    };
    signal.addEventListener("abort", () => close(reject, aborted()));
  });
}
