// Scripts that use npm packages, run in one process: to load the packages takes longer than a test.
//
//   node host.mjs                  says its port; ends with its input
//
// Each connection runs one script: its first line is {"script": "models.mjs", "given": …}, and what
// follows is the script's input. A script exports `async ({ given, say, lines, signal }) => …`; each
// line that is answered is {"said": …}, or {"failed": "…"} where it threw. When its input ends, what
// it has asked is aborted, its sockets are closed, and it can ask nothing more, as if a process of its
// own had been killed; then the connection is closed.
import { AsyncLocalStorage } from "node:async_hooks"
import { createServer } from "node:net"
import { createInterface } from "node:readline"

class Gone extends Error {}

const running = new AsyncLocalStorage()
const fetched = globalThis.fetch
globalThis.fetch = (input, init) => {
  const { signal, dispatcher } = running.getStore()
  const given = init?.signal ?? input?.signal
  return fetched(input, { ...init, dispatcher, signal: given ? AbortSignal.any([given, signal]) : signal })
}
// Node has its class of connection pools where it keeps its own, once that is used.
await fetched("data:,")
const Agent = globalThis[Symbol.for("undici.globalDispatcher.1")].constructor

process.on("unhandledRejection", (reason) => {
  const session = running.getStore()
  if (session?.signal.aborted || reason instanceof Gone || reason?.cause instanceof Gone) return
  if (!session) throw reason
  session.fail(reason)
})

const server = createServer({ allowHalfOpen: true }, (socket) => {
  const gone = new AbortController()
  const tell = (held) => socket.writable && socket.write(JSON.stringify(held) + "\n")
  const session = {
    signal: gone.signal,
    dispatcher: new Agent(),
    async end() {
      if (gone.signal.aborted) return
      gone.abort(new Gone("the test has ended"))
      await session.dispatcher.destroy()
      socket.end()
    },
    fail(error) {
      tell({ failed: String(error?.stack ?? error) })
      void session.end()
    },
  }
  socket.on("error", session.end).on("end", session.end).on("close", session.end)
  void running.run(session, async () => {
    try {
      const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
      const { script, given } = JSON.parse((await lines.next()).value)
      const { default: run } = await import(`./${script}`)
      await run({ given, say: (said) => tell({ said }), lines, signal: gone.signal })
      await session.end()
    } catch (error) {
      if (!gone.signal.aborted) session.fail(error)
    }
  })
})

server.listen(0, "127.0.0.1", () => console.log(server.address().port))
process.stdin.on("end", () => process.exit(0)).resume()
