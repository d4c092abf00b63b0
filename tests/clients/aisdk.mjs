// The AI SDK in each of its versions, with the packages that belong to them.
const versions = {
  5: ["ai5", "ai5-openai-compatible", "ai5-react"],
  6: ["ai", "@ai-sdk/openai-compatible", "@ai-sdk/react"],
  7: ["ai7", "ai7-openai-compatible", "ai7-react"],
}

// What the three packages export, in one object.
export const load = async (version) =>
  Object.assign({}, ...(await Promise.all(versions[version].map((name) => import(name)))))
