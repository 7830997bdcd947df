// A request as people have it at hand: a curl line, the text of an HTTP request, or only its address.

export interface Asked {
  method?: string;
  host?: string;
  path: string;
  headers: Record<string, string>;
}

/** Words of a shell line: quoted ones are one word. */
function words(line: string): string[] {
  const found: string[] = [];
  const word = /\$?'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|((?:\\.|[^\s'"\\])+)/gsy;
  let open = false;
  for (let at = 0; at < line.length; ) {
    word.lastIndex = at;
    const match = word.exec(line);
    if (!match) {
      // A space ends a word; anything else stands for itself.
      open = !/\s/.test(line[at] ?? "");
      if (open) found.push(line[at] ?? "");
      at += 1;
      continue;
    }
    const text = (match[1] ?? match[2] ?? match[3] ?? "").replace(/\\(.)/gs, "$1");
    if (open) found[found.length - 1] += text;
    else found.push(text);
    open = true;
    at = word.lastIndex;
  }
  return found;
}

function address(text: string): Pick<Asked, "host" | "path"> {
  if (text.startsWith("/")) return { path: text };
  const url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `http://${text}`);
  return { host: url.host, path: url.pathname + url.search };
}

function field(asked: Asked, line: string) {
  const at = line.indexOf(":");
  if (at < 1) return;
  const [name, value] = [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  if (name.toLowerCase() === "host") asked.host = value;
  else asked.headers[name] = value;
}

function curl(line: string): Asked {
  const asked: Asked = { path: "/", headers: {} };
  const all = words(line.replace(/\\\r?\n/g, " ")).slice(1);
  let sends = false;
  for (let at = 0; at < all.length; at += 1) {
    const word = all[at] ?? "";
    const next = () => all[(at += 1)] ?? "";
    if (word === "-X" || word === "--request") asked.method = next();
    else if (word === "-H" || word === "--header") field(asked, next());
    else if (word === "-A" || word === "--user-agent") asked.headers["User-Agent"] = next();
    else if (word === "-b" || word === "--cookie") asked.headers.Cookie = next();
    else if (word === "-I" || word === "--head") asked.method ??= "HEAD";
    else if (word === "--url") Object.assign(asked, address(next()));
    else if (/^(-d|--data.*|-F|--form|--json)$/.test(word)) [sends] = [true, next()];
    else if (/^(-o|--output|-w|--write-out|-u|--user|-m|--max-time|--connect-timeout|-e|--referer|--resolve|--cacert)$/.test(word)) next();
    else if (!word.startsWith("-")) {
      const { host, path } = address(word);
      asked.path = path;
      if (host) asked.host ??= host;
    }
  }
  if (sends) asked.method ??= "POST";
  return asked;
}

/** What was pasted. */
export function read(text: string): Asked {
  const trimmed = text.trim();
  if (/^curl\s/.test(trimmed)) return curl(trimmed);
  const [first = "", ...lines] = trimmed.split(/\r?\n/);
  const request = /^([A-Z]+)\s+(\S+)(?:\s+HTTP\/[\d.]+)?$/.exec(first.trim());
  const asked: Asked = { headers: {}, ...address(request?.[2] ?? (first.trim() || "/")) };
  if (request?.[1]) asked.method = request[1];
  for (const line of lines) {
    if (line.trim() === "") break;
    field(asked, line);
  }
  return asked;
}
