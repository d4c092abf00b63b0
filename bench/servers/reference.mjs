/** The published reference server of the Durable Streams Protocol, its streams in memory: its default. */
import { DurableStreamTestServer } from "@durable-streams/server";

const server = new DurableStreamTestServer({ port: 0 });
console.log(JSON.stringify({ url: await server.start() }));
