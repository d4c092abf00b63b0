/** `<script type="module" src="…/elements.js">`: registers <hub-stream> and <hub-chat>. */

export { HubChat } from "./hub-chat.js";
export { HubStream } from "./hub-stream.js";
