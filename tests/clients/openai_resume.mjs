// The official npm client: it loses a response in mid-answer, and goes on from the last event
// that it has seen.
// Given: {"url": "http://…/v1"}
import OpenAI from "openai"

export default async ({ given: { url }, say }) => {
  const client = new OpenAI({ apiKey: "none", baseURL: url, maxRetries: 0 })

  let text = ""
  let seen = null
  let id = null
  const hear = (event) => {
    seen = event.sequence_number
    if (event.type === "response.created") id = event.response.id
    if (event.type === "response.output_text.delta") text += event.delta
    return event
  }

  const first = await client.responses.create({
    model: "scripted", input: "Hi", stream: true, background: true,
  })
  for await (const event of first) if (hear(event).type === "response.output_text.delta") break
  say({ text, seen })

  let whole = null
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: seen })
  for await (const event of rest) if (hear(event).type === "response.completed") whole = event.response
  say({ text, whole: whole.output[0].content[0].text })
}
