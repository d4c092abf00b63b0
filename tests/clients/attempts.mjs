// What an official client with its own retries raises, for each question: a line of JSON with all.
// Given: {"client": "ai 6", "asks": [{"url": "http://…/v1", "stream": true, "model": "m"}]}
import OpenAI from "openai"

import { load } from "./aisdk.mjs"

const ways = {
  async "openai-node"({ url, stream, model }) {
    const openai = new OpenAI({ apiKey: "none", baseURL: url })
    const messages = [{ role: "user", content: "Hello" }]
    const answer = await openai.chat.completions.create({ model, messages, stream })
    if (stream) for await (const _ of answer);
  },
  async ai({ url, stream, model }, version) {
    const { createOpenAICompatible, generateText, streamText } = await load(version)
    const asked = { model: createOpenAICompatible({ name: "hub", baseURL: url })(model), prompt: "Hello" }
    if (!stream) return await generateText(asked)
    const errors = []
    const result = streamText({ ...asked, onError: ({ error }) => errors.push(error) })
    for await (const _ of result.fullStream);
    if (errors.length) throw errors[0]
  },
}

const shown = (error) => {
  const last = error.lastError ?? error // the AI SDK's RetryError holds the last
  const told = last.data?.error ?? last
  return {
    kind: last.constructor.name,
    status: last.status ?? last.statusCode ?? null,
    code: told.code ?? null,
    param: told.param ?? null,
    type: told.type ?? null,
    message: last.error?.message ?? told.message ?? null,
  }
}

export default async ({ given: { client, asks }, say }) => {
  const [way, version] = client.split(" ")
  const all = asks.map((ask) => ways[way](ask, version).then(() => ({ kind: null }), shown))
  say(await Promise.all(all))
}
