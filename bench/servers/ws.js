/**
 * The Node library `ws`: a loop over the Set of clients, the message made a Buffer once.
 * The load is the one described in driver.py.
 */
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer } from "ws";

const LENGTH = 100;
const SECOND = 1_000_000_000;
const monotonic = () => Number(process.hrtime.bigint());
const turn = () => new Promise(setImmediate);

async function send(texts) {
  for (const text of texts) {
    const body = Buffer.from(text);
    for (const client of server.clients) client.send(body, { binary: false });
  }
}

class Driver {
  number = 0;
  arrived = 0;
  credit = () => {};

  constructor(socket) {
    this.socket = socket;
  }

  take(line) {
    if (line.startsWith("{")) {
      this.arrived = 0;
      this.make(JSON.parse(line));
    } else {
      this.arrived = Number(line);
      this.credit();
    }
  }

  async make({ rate, burst, seconds, ahead }) {
    const begun = monotonic();
    const end = begun + seconds * SECOND;
    let ticks = 0;
    while (!this.socket.destroyed) {
      const now = monotonic();
      const due = rate ? begun + Math.floor((ticks * SECOND) / rate) : now;
      if (Math.max(due, now) >= end) break;
      await (due > now ? sleep((due - now) / 1e6) : turn());
      while (ticks - this.arrived >= ahead) await new Promise((done) => (this.credit = done));
      await send(Array.from({ length: burst }, (_, i) => message(this.number + i, due)));
      this.number += burst;
      ticks += 1;
    }
    this.socket.write(JSON.stringify({ ticks }) + "\n");
  }
}

const message = (number, stamp) => `~${number}:${stamp}~`.padEnd(LENGTH, ".");

const control = createServer((socket) => {
  const driver = new Driver(socket);
  let rest = "";
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes) => {
    const lines = (rest + bytes).split("\n");
    rest = lines.pop();
    lines.forEach((line) => driver.take(line));
  });
});

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 2048 }, () => {
  control.listen(0, "127.0.0.1", () => {
    console.log(JSON.stringify({ port: server.address().port, control: control.address().port }));
  });
});
server.on("connection", (client) => {
  client.on("error", () => client.terminate());
  client.send("ready");
});
