import { expect, test } from "vitest";

import { hashOf, linkTo, routeOf } from "../../src/app/route.js";

test.each([
  ["", { kind: "new" }],
  ["#", { kind: "new" }],
  ["#/", { kind: "new" }],
  ["#/c/chat-1", { kind: "conversation", name: "chat-1" }],
  ["#/v/chat-1", { kind: "view", name: "chat-1" }],
  ["#/c/team/plans", { kind: "conversation", name: "team/plans" }],
  ["#/c/team%2Fplans", { kind: "conversation", name: "team/plans" }],
  ["#/c/a%40b", { kind: "conversation", name: "a@b" }],
  // As older links have it; a letter alone is a name too.
  ["#chat-1", { kind: "conversation", name: "chat-1" }],
  ["#c", { kind: "conversation", name: "c" }],
  ["#c/x", { kind: "conversation", name: "c/x" }],
])("%s", (hash, route) => {
  expect(routeOf(hash)).toEqual(route);
});

test.each(["#/c/", "#/c", "#/x/name", "#/c/a b", "#/c/%", "#/c/..", "#/c/a//b", "#/c/%3Cb%3E", "#//c/a", "#/c/\u202ea"])(
  "%s is no address of a conversation",
  (hash) => {
    expect(routeOf(hash).kind).toBe("unknown");
  },
);

test.each(["chat-1", "team/plans", "a.b~c:d@e+f-g_h"])("the address of %s leads back to it", (name) => {
  expect(routeOf(hashOf("conversation", name))).toEqual({ kind: "conversation", name });
  expect(routeOf(hashOf("view", name))).toEqual({ kind: "view", name });
});

test("a link stays under the prefix of the page and drops what else the address had", () => {
  expect(linkTo("view", "x", "http://h:1/hub/index.html#/c/y")).toBe("http://h:1/hub/index.html#/v/x");
  expect(linkTo("conversation", "x", "https://h/hub/")).toBe("https://h/hub/#/c/x");
});
