/** The worker that all tabs of a page share; the hub serves it beside the client library. */

import { Host } from "./host.js";

const host = new Host(location.href.replace(/[^/]*$/u, ""));

addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (port) host.serve(port);
});
