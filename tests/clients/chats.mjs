// Chats of the AI SDK and conversations of TanStack AI, unchanged, told what to do.
//
// Each line of the input is a command with a number, each line of the output its reply.
import { createDurableChatTransport } from "@durable-streams/aisdk-transport"
import { durableStreamConnection } from "@durable-streams/tanstack-ai-transport"
import { ChatClient } from "@tanstack/ai-client"

import { load } from "./aisdk.mjs"

const plain = (held) => JSON.parse(JSON.stringify(held))
const texts = (message) =>
  (message?.parts ?? [])
    .filter((part) => part.type === "text")
    .map((part) => part.text ?? part.content)
    .join("")

const transports = {
  default: (options, { DefaultChatTransport }) => new DefaultChatTransport(options),
  durable: (options) => createDurableChatTransport(options),
}

// What a page would show, at every moment, and what it was told.
class AISDKChat {
  constructor({ transport = "default", id, messages, tools = {}, ...options }, sdk) {
    this.seen = []
    this.errors = []
    this.finishes = []
    this.held = new sdk.Chat({
      id,
      messages,
      transport: transports[transport](options, sdk),
      sendAutomaticallyWhen: sdk.lastAssistantMessageIsCompleteWithToolCalls,
      onError: (error) => this.errors.push(error.message),
      onFinish: ({ finishReason, isAbort, isDisconnect, isError }) =>
        this.finishes.push({ finishReason, isAbort, isDisconnect, isError }),
      onToolCall: ({ toolCall }) => {
        const output = tools[toolCall.toolName]
        if (output === undefined) return
        void this.held.addToolOutput({
          tool: toolCall.toolName,
          toolCallId: toolCall.toolCallId,
          output,
        })
      },
    })
    this.held["~registerMessagesCallback"](() => this.seen.push(texts(this.last)))
  }
  get last() {
    const last = this.held.messages.at(-1)
    return last?.role === "assistant" ? last : undefined
  }
  get state() {
    const { status, error, messages } = this.held
    const told = { status, error: error?.message ?? null, messages }
    return { ...told, text: texts(this.last), seen: this.seen, errors: this.errors, finishes: this.finishes }
  }
  send = (message, options) => void this.held.sendMessage(message, options)
  regenerate = (options) => void this.held.regenerate(options)
  resume = () => void this.held.resumeStream()
  stop = () => this.held.stop()
}

class TanStackChat {
  constructor({ id, messages, tools = {}, ...options }) {
    this.errors = []
    this.chunks = []
    const connection = durableStreamConnection(options)
    const subscribe = connection.subscribe
    connection.subscribe = async function* (signal) {
      for await (const chunk of subscribe(signal)) {
        chunks.push(chunk)
        yield chunk
      }
    }
    const chunks = this.chunks
    this.held = new ChatClient({
      id,
      initialMessages: messages,
      connection,
      tools: Object.entries(tools).map(([name, output]) => ({
        __toolSide: "client",
        name,
        description: name,
        execute: async () => output,
      })),
      onError: (error) => this.errors.push(error.message),
    })
    this.held.subscribe()
  }
  get state() {
    const messages = this.held.getMessages()
    const last = messages.at(-1)
    const text = last?.role === "assistant" ? texts(last) : ""
    const status = this.held.getStatus()
    const busy = this.held.getIsLoading() || this.held.getSessionGenerating()
    return { status, busy, messages, text, errors: this.errors, chunks: this.chunks }
  }
  send = (text) => void this.held.sendMessage(text).catch((error) => this.errors.push(error.message))
  regenerate = () => void this.held.reload()
  stop = () => this.held.stop()
  leave = () => this.held.unsubscribe()
}

const met = (state, { status, text, last, busy, errors, chunks }) =>
  (status === undefined || state.status === status) &&
  (text === undefined || state.text.includes(text)) &&
  (last === undefined || texts(state.messages.at(-1)).includes(last)) &&
  (busy === undefined || state.busy === busy) &&
  (errors === undefined || state.errors.length >= errors) &&
  (chunks === undefined || state.chunks.length >= chunks)

const commandsOf = (chats, signal) => ({
  open: async ({ name, kind = "aisdk", version = 6, ...options }) => {
    chats.set(name, kind === "aisdk" ? new AISDKChat(options, await load(version)) : new TanStackChat(options))
  },
  state: ({ name }) => chats.get(name).state,
  until: async ({ name, ...wanted }) => {
    const chat = chats.get(name)
    while (!met(chat.state, wanted) && !signal.aborted) await new Promise((done) => setTimeout(done, 5))
    return chat.state
  },
  call: async ({ name, method, given = [] }) => {
    await chats.get(name)[method](...given)
  },
})

export default async ({ say, lines, signal }) => {
  const chats = new Map()
  const commands = commandsOf(chats, signal)
  for await (const line of lines) {
    const { number, do: action, ...options } = JSON.parse(line)
    Promise.resolve()
      .then(() => commands[action](options))
      .then((told) => ({ told: told === undefined ? null : plain(told) }), (error) => ({ error: String(error.stack) }))
      .then((answer) => say({ number, ...answer }))
  }
  for (const chat of chats.values()) {
    chat.stop()
    chat.leave?.()
  }
}
