// Reads documents' paths from the command line; prints for each the parser's diagnostics and the messages it resolved.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

const SEVERITIES = ["error", "warning", "information", "hint"];

async function validate(path) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"), { source: path });
  const messages = document ? document.allMessages().all() : [];
  return {
    diagnostics: diagnostics.map((d) => ({
      severity: SEVERITIES[d.severity],
      code: String(d.code),
      text: `${d.path.join(".")}: ${d.message}`,
    })),
    messages: Object.fromEntries(
      messages.map((m) => [
        m.name(),
        {
          payload: Object.keys(m.payload()?.properties() ?? {}),
          headers: Object.keys(m.headers()?.properties() ?? {}),
        },
      ]),
    ),
  };
}

Promise.all(process.argv.slice(2).map(validate)).then((results) => console.log(JSON.stringify(results)));
