// Audits servers for what "GraphQL over HTTP" demands, and ends with what they do not do.
//
// node audit.mjs URL URL
import { argv, exit, stderr, stdout } from "node:process";
import { auditServer } from "graphql-http";

let failed = 0;
for (const url of argv.slice(2)) {
  const results = await auditServer({ url });
  stdout.write(`${url}: ${results.length} audits\n`);
  for (const result of results) {
    // What a server may do, and does not, is a notice.
    if (result.status !== "ok" && result.status !== "notice") {
      failed += 1;
      stderr.write(`${url}: ${result.status}: ${result.name}: ${result.reason}\n`);
    }
  }
}
exit(failed === 0 ? 0 : 1);
