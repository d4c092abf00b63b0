// In a page: what an EventSource and a WebSocket are told of each provider's answer.
async (url, client, models, prompt) => {
  const follow = {
    EventSource(name, take) {
      const source = new EventSource(`${url}/v1/live/${name}?wait=true`)
      source.onmessage = ({ data }) => take(JSON.parse(data)) && source.close()
      return new Promise((opened) => (source.onopen = opened))
    },
    WebSocket(name, take) {
      const socket = new WebSocket(`${url}/v1/ws`.replace("http", "ws"), "hub.v1")
      socket.onopen = () =>
        socket.send(JSON.stringify({ type: "subscribe", stream: name, from: "start", wait: true }))
      return new Promise((opened) => {
        socket.onmessage = ({ data }) => {
          const frame = JSON.parse(data)
          if (frame.type === "ok") opened()
          for (const event of frame.events ?? []) if (take(event)) socket.close()
        }
      })
    },
  }
  const asked = async (model) => {
    const name = `${client}/${model}`
    let text = ""
    let ended
    const end = new Promise((resolve) => (ended = resolve))
    await follow[client](name, (event) => {
      if (event.type === "delta") text += event.text ?? ""
      if (event.type !== "finished" && event.type !== "failed") return false
      const { prompt_tokens, completion_tokens } = event.usage ?? {}
      ended({ text, finish: event.reason, usage: [prompt_tokens, completion_tokens] })
      return true
    })
    await fetch(`${url}/v1/generations`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ stream: name, upstream: model, prompt }),
    })
    return end
  }
  const told = []
  for (const model of models) told.push(await asked(model))
  return told
}
