// Clients that ask every provider in turn: for each, in a line of JSON, what they were told.
// Given: {"client": "ai", "version": 6, "url": "http://…", "models": ["…"], "prompt": "…"}
import { stream } from "@durable-streams/client"

import { load } from "./aisdk.mjs"

export default async ({ given: { client, version, url, models, prompt }, say }) => {
  const clients = {
    async ai(model) {
      const { createOpenAICompatible, streamText } = await load(version)
      const provider = createOpenAICompatible({ name: "hub", baseURL: `${url}/v1`, includeUsage: true })
      const result = streamText({ model: provider(model), prompt, maxRetries: 0 })
      let text = ""
      for await (const piece of result.textStream) text += piece
      const { inputTokens, outputTokens } = await result.usage
      return { text, finish: await result.finishReason, usage: [inputTokens, outputTokens] }
    },
    async durable(model) {
      const name = `durable/${model}`
      await fetch(`${url}/v1/generations`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ stream: name, upstream: model, prompt }),
      })
      const read = await stream({ url: `${url}/v1/stream/${name}`, offset: "-1", live: true })
      let text = ""
      for await (const event of read.jsonStream()) {
        if (event.type === "delta") text += event.text ?? ""
        if (event.type === "finished") {
          const { prompt_tokens, completion_tokens } = event.usage
          return { text, finish: event.reason, usage: [prompt_tokens, completion_tokens] }
        }
        if (event.type === "failed") throw new Error(event.message)
      }
    },
  }

  for (const model of models) say(await clients[client](model))
}
