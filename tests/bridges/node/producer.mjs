// A back end's sending side: adds the jobs it reads from stdin and says how each of them ends.
// node producer.mjs <version> <redis URL> <prefix> <queue>; a line is {ref, name?, data, opts?}, or {remove}.
import { createInterface } from "node:readline";

const [version, url, prefix, name] = process.argv.slice(2);
const { Queue, QueueEvents } = await import(`bullmq-${version}`);
const { hostname: host, port, password, pathname } = new URL(url);
const connection = { host, port: Number(port), password: password || undefined, db: Number(pathname.slice(1) || 0) };

const say = (event, payload) => process.stdout.write(`${JSON.stringify([event, payload])}\n`);
const queue = new Queue(name, { connection, prefix });
const events = new QueueEvents(name, { connection, prefix });
queue.on("error", () => {});
events.on("error", () => {});
await events.waitUntilReady();
say("ready", {});

async function follow(job, ref) {
  try {
    say("finished", { ref, result: await job.waitUntilFinished(events, 60_000) });
  } catch (error) {
    const { attemptsMade, stacktrace } = (await queue.getJob(job.id).catch(() => null)) ?? {};
    say("failed", { ref, reason: error.message, attemptsMade, stacktrace });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { remove, ref, name: job = "send-message", data, opts = {} } = JSON.parse(line);
  if (remove) {
    say("removed", { count: await queue.remove(remove) });
    continue;
  }
  const added = await queue.add(job, data, opts);
  say("added", { ref, id: added.id });
  follow(added, ref);
}
process.exit(0);
