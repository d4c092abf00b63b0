/**
 * The published reference server of the Durable Streams Protocol. Its streams are in memory,
 * which is its default, or in files of the folder that it is given.
 */
import { Console } from "node:console";
import { DurableStreamTestServer } from "@durable-streams/server";

globalThis.console = new Console(process.stderr); // standard output is for the line below
const server = new DurableStreamTestServer({ port: 0, dataDir: process.argv[2] });
process.stdout.write(JSON.stringify({ url: await server.start() }) + "\n");
