// Files that were chosen or dropped: folders are walked depth first, videos are in natural order.

const names = new Intl.Collator(undefined, { numeric: true });

// The files of a drop, [{ file, path }]. items: [entry of the file system or null, File or null]
// of each, which the browser tells only while the event lasts. unread counts what gives an error.
export async function dropped(items) {
  const files = [];
  let unread = 0;
  for (const [entry, file] of items) await walk(entry, file, "");
  return { files, unread };

  async function walk(entry, file, folder) {
    try {
      if (entry?.isDirectory)
        for (const inside of await all(entry.createReader()))
          await walk(inside, null, `${folder}${entry.name}/`);
      else {
        const read = file ?? (await new Promise((give, fail) => entry.file(give, fail)));
        files.push({ file: read, path: folder + read.name });
      }
    } catch {
      unread += 1;
    }
  }
}

// A reader gives a folder in parts.
async function all(reader) {
  const entries = [];
  for (;;) {
    const part = await new Promise((give, fail) => reader.readEntries(give, fail));
    if (!part.length) return entries;
    entries.push(...part);
  }
}

// { videos, skipped } of [{ file, path }]: the videos in order, and how many files are none.
// accept: what the input takes.
export function videosOf(files, accept) {
  const suffixes = new Set(accept.split(","));
  const isVideo = ({ file }) =>
    !file.name.startsWith(".") && // of a system that keeps notes beside each file
    (file.type.startsWith("video/") || suffixes.has(/\.[^.]*$/.exec(file.name.toLowerCase())?.[0]));
  const videos = files.filter(isVideo);
  return { videos: videos.sort(byPath), skipped: files.length - videos.length };
}

function byPath(one, other) {
  const [first, second] = [one.path.split("/"), other.path.split("/")];
  const apart = first.findIndex((part, n) => part !== second[n]);
  return apart < 0 ? 0 : names.compare(first[apart], second[apart] ?? "");
}
