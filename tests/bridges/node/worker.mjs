// A back end's receiving side: takes jobs one after another and says what came.
// node worker.mjs <version> <redis URL> <prefix> <queue>; ends when stdin does.
const [version, url, prefix, name] = process.argv.slice(2);
const { Worker } = await import(`bullmq-${version}`);
const { hostname: host, port, password, pathname } = new URL(url);
const connection = { host, port: Number(port), password: password || undefined, db: Number(pathname.slice(1) || 0), maxRetriesPerRequest: null };

const say = (event, payload) => process.stdout.write(`${JSON.stringify([event, payload])}\n`);
const take = async ({ id, name: job, data, attemptsMade }) => say("job", { id, name: job, data, attemptsMade });
const worker = new Worker(name, take, { connection, prefix });
worker.on("error", () => {});
await worker.waitUntilReady();
say("ready", {});

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
