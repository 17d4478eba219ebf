import { afterAll, beforeAll, expect, test } from "vitest";
import { openDoors, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;

beforeAll(async () => {
  doors = await openDoors();
});

afterAll(() => doors.close());

test("the page and everything that it names is served here, and may talk to nobody else", async () => {
  const page = await fetch(`${doors.url}/api/docs`);
  expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'self';/);
  const html = await page.text();
  const names = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path = ""]) => path);
  expect(names).toEqual(["/api/docs/swagger-ui.css", "/api/docs/swagger-ui-bundle.js", "/api/docs/start.js"]);
  // What is in the page itself would not be run.
  expect(html).not.toMatch(/<script[^>]*>[^<]|<style|onload=/);
  for (const path of names) {
    const file = await fetch(doors.url + path);
    expect([path, file.status]).toEqual([path, 200]);
    expect(file.headers.get("content-type")).toMatch(path.endsWith(".css") ? /^text\/css/ : /^text\/javascript/);
    expect((await file.text()).length).toBeGreaterThan(50);
  }
  const start = await (await fetch(`${doors.url}/api/docs/start.js`)).text();
  const document = /url: "([^"]+)"/.exec(start)?.[1] ?? "";
  expect(await (await fetch(doors.url + document)).json()).toMatchObject({ openapi: "3.1.0" });
});

test("other files are not", async () => {
  for (const name of ["package.json", "..%2Fpackage.json", "__proto__", "toString"])
    expect((await fetch(`${doors.url}/api/docs/${name}`)).status).toBe(404);
});
