/** The text of a Kubernetes MicroTime: RFC 3339 with exactly six fractional digits. @param unixMs milliseconds */
export function microTime(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.(\d{3})Z$/, ".$1000Z");
}
