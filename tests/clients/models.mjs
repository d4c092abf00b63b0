// The AI SDK's `streamText` and `generateText` with a provider of `@ai-sdk/openai-compatible`.
//
// Says each piece it hears in a line of JSON, and in the last line how it ended.
import { load } from "./aisdk.mjs"

export default async ({ given, say }) => {
  const { version, url, model, prompt, how, tools = {}, headers = {}, abortAfter } = given
  const { createOpenAICompatible, generateText, jsonSchema, stepCountIs, streamText, tool } = await load(version)
  const provider = createOpenAICompatible({ name: "hub", baseURL: url, headers, includeUsage: true })
  const abort = new AbortController()
  const asked = {
    model: provider(model),
    prompt,
    maxRetries: 0,
    stopWhen: stepCountIs(3),
    abortSignal: abort.signal,
    tools: Object.fromEntries(
      Object.entries(tools).map(([name, output]) => [
        name,
        tool({
          description: name,
          inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } } }),
          execute: async () => output,
        }),
      ]),
    ),
  }
  const told = async (result) => ({
    text: await result.text,
    reasoning: await result.reasoningText,
    finishReason: await result.finishReason,
    usage: await result.totalUsage,
    calls: (await result.steps).flatMap((step) => step.toolCalls.map(({ toolName, input }) => [toolName, input])),
  })

  const ways = {
    async stream() {
      const errors = []
      const result = streamText({ ...asked, onError: ({ error }) => errors.push(error) })
      for await (const part of result.fullStream) {
        if (part.type === "text-delta") say({ piece: part.text })
        if (part.type === "text-delta" && part.text === abortAfter) abort.abort()
        if (part.type === "abort") return { aborted: true }
      }
      if (errors.length) throw errors[0]
      return told(result)
    },
    whole: async () => told(await generateText(asked)),
  }

  await ways[how]().then(say, (error) => say({ error: error.message, status: error.statusCode ?? null }))
}
