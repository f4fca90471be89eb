// Sizes, numbers and dates as the pages say them.

export const size = (bytes) =>
  bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
export const percent = (share) => `${Math.floor(100 * share)} %`;
export const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

// A share in whole percent, and never certainty: as the result page does.
export function estimate(share) {
  if (share >= 0.995) return "over 99 %";
  return share < 0.005 ? "under 1 %" : `${Math.round(100 * share)} %`;
}

// "2026-01-31T12:00:05Z" -> "2026-01-31 12:00 UTC".
export const date = (utc) => `${utc.slice(0, 10)} ${utc.slice(11, 16)} UTC`;

// Of a job that was there before its file was sent.
export const earlier = (job) =>
  `Answered from an earlier analysis of the same file, on ${date(job.ended ?? job.created)}.`;
