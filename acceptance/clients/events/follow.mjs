// Follows live updates with an EventSource, and prints all that it says as lines of JSON, until
// standard input ends.
//
// TOKEN=… node follow.mjs URL
import { argv, env, exit, stdin, stdout } from "node:process";
import { EventSource } from "eventsource";

const NAMES = ["row", "complete", "changed", "erased", "stale", "left", "resumed", "reset", "end"];

const say = (said) => stdout.write(`${JSON.stringify(said)}\n`);
const source = new EventSource(argv[2], {
  fetch: async (url, init) => {
    const headers = { ...init.headers, Authorization: `Bearer ${env.TOKEN}` };
    const answer = await fetch(url, { ...init, headers });
    // An EventSource gives up for good at an error status, also while the API is only away for a
    // moment. It tries again after a network error.
    if (answer.status >= 500) throw new TypeError(`the API answered ${answer.status}`);
    return answer;
  },
});
source.addEventListener("open", () => say({ event: "open" }));
source.addEventListener("error", ({ code, message }) => say({ event: "error", code, message }));
for (const name of NAMES) {
  source.addEventListener(name, ({ data, lastEventId }) =>
    say({ event: name, id: lastEventId, data: JSON.parse(data) }));
}
stdin.on("end", () => {
  source.close();
  exit(0);
});
stdin.resume();
