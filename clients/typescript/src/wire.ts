// Addresses and frames, from text and back.

export function socketUrl(address: string): string {
  const url = new URL(address);
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (url.pathname === "/") url.pathname = "/ws";
  return url.href;
}

/** A frame; its shape is known by its `type` only. */
export function parse(data: string): any {
  try {
    const frame = JSON.parse(data);
    return typeof frame === "object" ? frame : null;
  } catch {
    return null;
  }
}
