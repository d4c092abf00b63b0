// What must compile against the types that were made of the OpenAPI document.
import type { components, paths } from "./generated.js";

type Schemas = components["schemas"];

export const generation: Schemas["GenerationRequest"] = { prompt: "poem" };
export const chat: Schemas["ChatRequest"] = {
  id: "chat-1",
  messages: [{ role: "user", parts: [{ type: "text", text: "Hello" }] }],
};
export const completion: paths["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"] = {
  model: "demo",
  messages: [{ role: "user", content: "Hello" }],
  temperature: 0.2,
};
export const response: Schemas["ResponseRequest"] = { model: "demo", input: [{ role: "user", content: "Hello" }] };
export function text(whole: Schemas["OpenAIResponse"]): string | undefined {
  return whole.output[0]?.id;
}
export type Written = paths["/v1/stream/{name}"]["put"]["requestBody"];
// @ts-expect-error: the model must be named
export const without: Schemas["CompletionRequest"] = { messages: [{ role: "user" }] };
