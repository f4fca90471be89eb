// What the page asks of the server. Where it wants a token, the browser asks for that itself and
// sends it along.

const [SHORTEST_MS, LONGEST_MS] = [200, 2000]; // between two questions for a job
const [RETRIES, RETRY_MS] = [10, 3000]; // where it is not answered: a server that restarts
const AGAIN = [0, 429, 502, 503, 504]; // statuses that may pass; 0: no connection

// An RFC 9457 problem, from the server or of the connection.
export class Problem extends Error {
  // retryAfterS: when to ask again, where the server says so.
  constructor({
    type = "about:blank",
    title = "Something went wrong",
    status = 0,
    detail = "",
    retryAfterS = null,
  }) {
    super(detail || title);
    Object.assign(this, { type, title, status, detail, retryAfterS });
  }
}

const lost = () =>
  new Problem({
    title: "The server cannot be reached",
    detail: "The connection failed. Check that the server is running, and try again.",
  });
const aborted = () => new DOMException("cancelled", "AbortError");

// retryAfter: the header, null where there is none.
function problemFrom(status, text, retryAfter) {
  const retryAfterS = retryAfter === null ? null : Number(retryAfter) || 0;
  try {
    return new Problem({ status, ...JSON.parse(text), retryAfterS });
  } catch {
    const detail = `It answered with status ${status}.`;
    return new Problem({ status, title: "The server failed", detail, retryAfterS });
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
  if (!response.ok)
    throw problemFrom(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

// Sends a file; progress gets shares from 0 to 1. fetch tells nothing of an upload's progress.
// Once all is sent it cannot be aborted: the server may have a job already, whose id is needed.
// again: it is analysed even where the server has an earlier result of the same file.
export function upload(file, progress, signal, again = false) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    let whole = false;
    const body = new FormData();
    body.append("video", file);
    sent.open("POST", `/api/v1/jobs${again ? "?again=true" : ""}`);
    sent.upload.onprogress = (event) => progress(event.loaded / event.total);
    sent.upload.onload = () => {
      whole = true;
    };
    sent.onload = () =>
      sent.status === 202 || sent.status === 200
        ? resolve(JSON.parse(sent.responseText))
        : reject(
            problemFrom(sent.status, sent.responseText, sent.getResponseHeader("Retry-After")),
          );
    sent.onerror = () => reject(lost());
    sent.onabort = () => reject(aborted());
    signal.addEventListener("abort", () => whole || sent.abort());
    sent.send(body);
  });
}

// Cancels a job, or deletes its result: nothing is left of it. 202: it is cancelled, and its name
// kept for who asks; once more, and that is gone too.
export async function forget(id) {
  const job = `/api/v1/jobs/${encodeURIComponent(id)}`;
  while ((await request(job, { method: "DELETE" })).status === 202);
}

// Follows a job by asking for it again and again, and gives it once it has ended. A stream of
// events for each tab would hold one of the six connections that a browser opens to a server
// (HTTP/1.1): a seventh tab would wait for the others. progress gets what the server says of it.
export async function follow(id, progress, signal) {
  const begun = performance.now();
  let last = { stage: "queued" };
  for (let failures = 0; ; ) {
    try {
      const job = await (await request(`/api/v1/jobs/${encodeURIComponent(id)}`, { signal })).json();
      if (job.state !== "queued" && job.state !== "running") return job;
      failures = 0;
      last = job.progress;
      progress(last, job);
    } catch (error) {
      if (!AGAIN.includes(error.status) || ++failures > RETRIES) throw error;
      progress({ ...last, detail: "The server does not answer. Asking again." });
    }
    await pause(failures ? RETRY_MS : between(performance.now() - begun), signal);
  }
}

// A tenth of the wait so far: a result is shown at most so much later, and who waits long asks
// seldom. What nobody looks at asks seldom too.
function between(waitedMs) {
  return Math.max(document.hidden ? LONGEST_MS : SHORTEST_MS, Math.min(LONGEST_MS, waitedMs / 10));
}

// Until the time is over, or the page comes into view.
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const end = (settle, value) => {
      clearTimeout(timer);
      over.abort();
      settle(value);
    };
    const timer = setTimeout(() => end(resolve), ms);
    const seen = () => document.hidden || end(resolve);
    document.addEventListener("visibilitychange", seen, { signal: over.signal });
    signal.addEventListener("abort", () => end(reject, aborted()), { signal: over.signal });
  });
}
