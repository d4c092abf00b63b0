// The official npm client: it begins to read a stream, and aborts it.
// Given: {"url": "http://…/v1", "api": "chat", "headers": {}}
import OpenAI from "openai"

export default async ({ given: { url, api, headers }, say }) => {
  const client = new OpenAI({ apiKey: "none", baseURL: url, maxRetries: 0, defaultHeaders: headers })

  const stream =
    api === "chat"
      ? await client.chat.completions.create({
          model: "scripted", messages: [{ role: "user", content: "Hi" }], stream: true,
        })
      : await client.responses.create({ model: "scripted", input: "Hi", stream: true })
  for await (const _ of stream) {
    // More may have come with the first.
    if (!stream.controller.signal.aborted) say("begun")
    stream.controller.abort()
  }
  say("aborted")
}
