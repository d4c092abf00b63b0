// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";

import { LocalStore } from "../../src/app/local-store.js";
import { ModelPicker } from "../../src/app/model-picker.js";
import type { Hub } from "../../src/client/hub.js";
import { HubError } from "../../src/protocol/errors.js";

const offering = (...models: string[]): Hub => ({ models: () => Promise.resolve(models) }) as unknown as Hub;

function picker(): { one: ModelPicker; told: (string | undefined)[] } {
  const told: (string | undefined)[] = [];
  const one = new ModelPicker(new LocalStore("/"), (model) => told.push(model));
  return { one, told };
}

beforeEach(() => {
  localStorage.clear();
});

test("before the hub has answered nothing can be picked; then its default is", async () => {
  const { one, told } = picker();
  expect(one.element.hidden).toBe(true);
  expect(one.chosen).toBeUndefined();
  await one.ask(offering("demo", "local"));
  expect(one.element.hidden).toBe(false);
  expect(one.element.value).toBe("demo");
  expect(told).toEqual(["demo"]);
});

test("a choice is remembered", async () => {
  const { one, told } = picker();
  await one.ask(offering("demo", "local"));
  one.element.value = "local";
  one.element.dispatchEvent(new Event("change"));
  expect(told.at(-1)).toBe("local");
  const again = picker().one;
  await again.ask(offering("demo", "local"));
  expect(again.chosen).toBe("local");
  expect(again.element.value).toBe("local");
});

test("what the hub no longer offers is not asked for", async () => {
  new LocalStore("/").set("model", "gone");
  const { one } = picker();
  await one.ask(offering("demo"));
  expect(one.chosen).toBe("demo");
  expect(one.element.value).toBe("demo");
});

test("a hub that did not answer is asked again, one that did is not", async () => {
  let asked = 0;
  const flaky = {
    models: () => (++asked === 1 ? Promise.reject(new HubError("unreachable", "no")) : Promise.resolve(["demo"])),
  } as unknown as Hub;
  const { one } = picker();
  await one.ask(flaky);
  expect(one.chosen).toBeUndefined();
  await one.ask(flaky);
  await one.ask(flaky);
  expect(one.chosen).toBe("demo");
  expect(asked).toBe(2);
});

test("a name is text, whatever is in it", async () => {
  const { one } = picker();
  await one.ask(offering("<img src=x onerror=alert(1)>"));
  expect(one.element.querySelector("img")).toBeNull();
  expect(one.element.options[0]?.text).toBe("<img src=x onerror=alert(1)>");
});
