// The published client, told what to do by lines of JSON and answering with lines of JSON.
//
//   node client.js ACTION URL [JSON]
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client"

const [action, url, given] = process.argv.slice(2)
const options = given === undefined ? {} : JSON.parse(given)
const say = (held) => process.stdout.write(JSON.stringify(held) + "\n")

const actions = {
  async write() {
    const { contentType, bodies } = options
    const handle = await DurableStream.create({ url, contentType })
    for (const body of bodies) await handle.append(body)
    say({ offset: (await handle.head()).offset })
  },

  async close() {
    const handle = await DurableStream.connect({ url })
    const { finalOffset } = await handle.close(options)
    say({ offset: finalOffset })
  },

  // Everything from an offset on, in one mode, until the stream closes or `until` is seen.
  async read() {
    const { live, offset, until, as } = options
    const held = await stream({ url, live, offset })
    let text = ""
    const items = []
    await new Promise((done) => {
      const seen = (piece, at, closed) => {
        say({ piece, offset: at })
        if (closed || (until !== undefined && text.includes(until))) done()
      }
      if (as === "json") {
        held.subscribeJson(async (batch) => {
          items.push(...batch.items)
          seen(batch.items, batch.offset, batch.streamClosed)
        })
      } else if (as === "bytes") {
        held.subscribeBytes(async (chunk) => {
          seen(Buffer.from(chunk.data).toString("base64"), chunk.offset, chunk.streamClosed)
        })
      } else {
        held.subscribeText(async (chunk) => {
          text += chunk.text
          seen(chunk.text, chunk.offset, chunk.streamClosed)
        })
      }
      // It may call itself closed before it has handed over the last it was sent.
      held.closed.then(() => setTimeout(done, 200))
    })
    held.cancel()
    say({ closed: held.streamClosed, offset: held.offset })
  },

  // Numbers from several producers' batches in flight at once; every request is sent twice.
  async produce() {
    const twice = async (...request) => {
      await (await fetch(...request)).arrayBuffer()
      return fetch(...request)
    }
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    const errors = []
    const producer = new IdempotentProducer(handle, "counter", {
      autoClaim: true,
      maxBatchBytes: 64,
      fetch: twice,
      onError: (error) => errors.push(String(error)),
    })
    for (let number = 0; number < options.count; number++) {
      producer.append(JSON.stringify({ number }))
    }
    await producer.flush()
    const { finalOffset } = await producer.close(JSON.stringify({ number: options.count }))
    say({ offset: finalOffset, errors })
  },
}

await actions[action]()
