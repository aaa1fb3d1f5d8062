// Makes open_redirects.txt: what a browser does with each value, by the URL
// class of Node (WHATWG), which is not the parser under test.
//   node tests/corpus/open_redirects.mjs > tests/corpus/open_redirects.txt
// Columns: verdict on the value as given, verdict on it form-decoded once, the
// value as a JSON string. "stay": the browser lands on a listed origin.
// "leave": anywhere else, or on nothing that is http.
const base = "https://gw.test/oauth2/callback";
const listed = new Set([
  "https://gw.test", "https://foo.allowed.test", "https://port.allowed.test:8080",
]);
const verdict = (text) => {
  let url;
  try { url = new URL(text, base); } catch { return "leave"; }
  const below = url.protocol === "https:" && url.port === "" && /.\.sub\.allowed\.test$/.test(url.hostname);
  return listed.has(url.origin) || below ? "stay" : "leave";
};
const decoded = (text) => {
  try { return verdict(decodeURIComponent(text.replaceAll("+", " "))); } catch { return "leave"; }
};

const lines = new Set();
const add = (...texts) => texts.forEach((text) => lines.add(text));
const evil = "evil.test", good = "foo.allowed.test";

// Slashes and backslashes, raw and encoded, with controls between them.
const slash = ["/", "\\", "%2f", "%5c", "%2F", "%5C"];
for (const a of slash) for (const b of slash) add(`${a}${b}${evil}`, `/${a}${b}${evil}/x`);
for (const c of ["\t", "\n", "\r", "\v", "\f", " ", "\0", "\x1b", "\x7f", "\u00a0", "\u2028", "\ufeff", "%09", "%0a", "%0d", "%20", "%00", "%0d%0a", "%1b"])
  add(`/${c}/${evil}`, `${c}//${evil}`, `//${c}${evil}`, `/${c}\\${evil}`, `https:${c}//${evil}`, `ht${c}tps://${evil}`);
for (const n of [3, 4, 7]) add("/".repeat(n) + evil, "\\".repeat(n) + evil, "/\\".repeat(n) + evil);

// Schemes.
for (const s of ["http", "https", "HtTpS", "ftp", "ws", "javascript", "data", "vbscript", "file", "blob", "mailto", "about"])
  add(`${s}:${evil}`, `${s}:/${evil}`, `${s}://${evil}`, `${s}:///${evil}`, `${s}:\\\\${evil}`, `/${s}:${evil}`);
add("javascript:alert(1)", "j\\av\\ascript:alert(1)", "java%0d%0ascript:alert(1)", "java\nscript:alert(1)", "&#106;avascript:alert(1)",
  "data:text/html,<script>alert(1)</script>", "data:text/html;base64,PHN2Zz4=", "\\x6aavascript:alert(1)", "%6aavascript:alert(1)",
  `view-source:https://${evil}`, `https:${good}`, `https:/${good}`, `https:/%09/${evil}`, `blob:https://${good}/x`);

// Userinfo and confusion of authorities.
for (const t of ["@", ":80@", "%40", "\\@", "/@", "#@", "?@", "%23@", "%3f@", ";@", "&@", ":@", "\t@", "%00@", "@@", ":x@", "%5c@", "%2f@"])
  add(`https://${good}${t}${evil}`, `https://${evil}${t}${good}`, `//${good}${t}${evil}/x`, `http://${good}${t}${evil}`);
for (const t of [".", "\\.", "%2e", "%00.", "%20.", "#.", "?.", "/.", "-", "_", "。", "%E3%80%82", "．", "｡", "\u00ad", ";.", ",."])
  add(`https://${good}${t}${evil}`, `https://${evil}${t}${good}`);

// Spellings of a host.
add(`https://FOO.allowed.test/x`, `https://foo.allowed.test./x`, `https://foo.allowed.test../x`, `https://ｆoo.allowed.test/`, `https://foo。allowed.test/`,
  `https://f%6fo.allowed.test/`, `https://xn--foo-.allowed.test/`, `https://xn--80ak6aa92e.test/`, `https://fоо.allowed.test/`, `https://foo.allowed.test:8443/`,
  `https://foo.allowed.test:443/`, `https://foo.allowed.test:0443/`, `https://foo.allowed.test:/`, `https://foo.allowed.test:+443/`, `https://foo.allowed.test:443443/`,
  `https://foo.allowed.test:-1/`, `http://foo.allowed.test/`, `http://foo.allowed.test:443/`, `http://gw.test/x`, `https://allowed.test/`, `https://xfoo.allowed.test/`,
  `https://a.foo.allowed.test/`, `https://foo.allowed.test.evil.test/`, `https://port.allowed.test:8080/x`, `https://port.allowed.test/x`, `https://port.allowed.test:80/`,
  `https://port.allowed.test:08080/`, `https://port.allowed.test:8080@x/`, `https://port.allowed.test:8080.evil.test/`, `https://a.sub.allowed.test/x`, `https://a.b.sub.allowed.test/`,
  `https://sub.allowed.test/`, `https://.sub.allowed.test/`, `https://xsub.allowed.test/`, `https://a.sub.allowed.test:8443/`, `https://a.sub.allowed.test.evil.test/`,
  `https://a..sub.allowed.test/`, `https://*.sub.allowed.test/`, `https://evil.test/.sub.allowed.test`, `https://evil.test#.sub.allowed.test`, `https://evil.test?.sub.allowed.test`);

// Addresses that are written strangely.
for (const host of ["2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "127.0.0.1", "0177.0.0.1", "0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "[::1%25eth0]", "1.1.1.1.", "①.①.①.①", "169.254.169.254", "0xa9fea9fe", "[0:0:0:0:0:ffff:a9fe:a9fe]"])
  add(`//${host}/`, `https://${host}/`, `http://${host}:80@${good}/`, `https://${good}@${host}/`);

// Scripts whose letters look like separators.
for (const c of ["〱", "〵", "ゝ", "ー", "ｰ", "／", "＼", "∕", "⁄", "⧸", "。"]) add(`/${c}${evil}`, `//${c}${evil}`, `${c}${c}${evil}`, `https:${c}${c}${evil}`);

// Dot segments, and tails.
for (const t of ["/.", "/..", "/%2e", "/%2e%2e", "/.%2e", "/%2f..", "/..%2f", "/.;/", "/..;/", "/./.", "/%252e%252e"])
  add(`${t}//${evil}`, `/x${t}/${evil}`, `//${evil}${t}`, `${t}/\\${evil}`, `/x${t}/..//${evil}`, `https://${evil}${t}`, `https://${good}${t}//${evil}`);

// Nested, doubled, encoded whole.
add(`/?url=//${evil}`, `?url=//${evil}`, `/search?u=https://${evil}`, `/x#//${evil}`, `//${evil}?x=${good}`, `/redirect?to=%2f%2f${evil}`, `/a?b=c%26d#frag`, `/x?\\${evil}`,
  `%2f%2f${evil}`, `%252f%252f${evil}`, `%68%74%74%70%73%3a%2f%2f${evil}`, `https%3a%2f%2f${evil}`, `https%3A%2F%2F${evil}%2Fx`, `//%65vil.test`, `%5c%5c${evil}`,
  `/ok%0d%0aSet-Cookie:x=1`, `/ok\r\nLocation: https://${evil}`, `/ok%00//${evil}`, `/%ff%fe`, `/\u00ff`, `/${"a".repeat(1100)}`, `//${"a".repeat(300)}.test`,
  "", " ", "/", ".", "..", "#", "?", "x", "x:y", `${evil}`, `www.${evil}`, `//`, `///`, `\\`, `/\\`, `https://`, `https:`, `//@`, `//:80`, `/\t`, `<//${evil}>`, `"//${evil}"`, `;//${evil}`, `(//${evil})`);

for (const text of lines) process.stdout.write(`${verdict(text)}\t${decoded(text)}\t${JSON.stringify(text)}\n`);
