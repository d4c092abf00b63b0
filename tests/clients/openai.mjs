// The official npm client, asked several things in turn: for each it says in a line of JSON
// what it was told, and how that ended.
// Given: {"url": "http://…/v1", "asks": [{"api": "chat", "mode": "stream", …}]}
import OpenAI from "openai"

const nothing = () => ({ text: "", reasoning: "", calls: [], finish: null, usage: null, error: null })

const ofMessage = (message, found) => {
  found.text = message.content ?? ""
  found.reasoning = message.reasoning_content ?? ""
  found.calls = (message.tool_calls ?? []).map((call) => ({
    id: call.id, name: call.function.name, arguments: call.function.arguments,
  }))
}

const chat = {
  async whole(client, body, found) {
    const answer = await client.chat.completions.create(body)
    ofMessage(answer.choices[0].message, found)
    found.finish = answer.choices[0].finish_reason
    found.usage = answer.usage
  },
  async stream(client, body, found) {
    const more = { stream: true, stream_options: { include_usage: true } }
    for await (const chunk of await client.chat.completions.create({ ...body, ...more })) {
      found.usage = chunk.usage ?? found.usage
      for (const { delta, finish_reason } of chunk.choices) {
        found.text += delta.content ?? ""
        found.reasoning += delta.reasoning_content ?? ""
        found.finish = finish_reason ?? found.finish
        for (const piece of delta.tool_calls ?? []) {
          const call = (found.calls[piece.index] ??= { id: "", name: "", arguments: "" })
          call.id += piece.id ?? ""
          call.name += piece.function?.name ?? ""
          call.arguments += piece.function?.arguments ?? ""
        }
      }
    }
  },
  async helper(client, body, found) {
    const stream = client.chat.completions.stream({ ...body, stream_options: { include_usage: true } })
    stream.on("content", (piece) => (found.text += piece))
    const answer = await stream.finalChatCompletion()
    ofMessage(answer.choices[0].message, found)
    found.finish = answer.choices[0].finish_reason
    found.usage = answer.usage
  },
}

const ofResponse = (response, found) => {
  found.text = response.output_text
  found.reasoning = response.output
    .filter((item) => item.type === "reasoning")
    .map((item) => item.summary.map((part) => part.text).join(""))
    .join("")
  found.calls = response.output
    .filter((item) => item.type === "function_call")
    .map((item) => ({ id: item.call_id, name: item.name, arguments: item.arguments }))
  found.finish = response.status
  found.usage = response.usage
}

const responses = {
  async whole(client, body, found) {
    ofResponse(await client.responses.create(body), found)
  },
  async stream(client, body, found) {
    for await (const event of await client.responses.create({ ...body, stream: true })) {
      if (event.type === "response.output_text.delta") found.text += event.delta
      if (event.type === "response.completed") ofResponse({
        output_text: found.text, ...event.response,
      }, found)
    }
  },
  async helper(client, body, found) {
    ofResponse(await client.responses.stream(body).finalResponse(), found)
  },
}

export default async ({ given: { url, asks }, say }) => {
  const client = new OpenAI({ apiKey: "none", baseURL: url, maxRetries: 0 })
  for (const { api, mode, body } of asks) {
    const found = nothing()
    try {
      await { chat, responses }[api][mode](client, body, found)
    } catch (error) {
      found.error = { kind: error.constructor.name, message: error.message, code: error.code ?? null,
        status: error.status ?? null }
    }
    say(found)
  }
}
