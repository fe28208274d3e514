// Runs in a page before everything else: sends what the page says by way of a test's wires, which can
// be cut. `detour` is `{ sockets, media }`, each from `host:port` to `host:port`.

(() => {
  const { detour } = globalThis;
  if (!detour) return;
  const ways = Object.entries(detour.sockets);
  const around = url => ways.reduce((text, [from, to]) => text.replace(`//${from}/`, `//${to}/`), url);

  const Socket = globalThis.WebSocket;
  globalThis.WebSocket = class WebSocket extends Socket {
    constructor(url, ...more) {
      super(around(url), ...more);
    }
  };
  const { fetch } = globalThis;
  globalThis.fetch = (url, ...more) => fetch(around(url), ...more);

  /** A candidate has its address and port apart. */
  const replace = sdp => sdp.replace(/^(a=candidate:(?:\S+ ){4})(\S+) (\d+) /gm, (line, head, ip, port) => {
    const to = detour.media[`${ip}:${port}`];
    return to ? `${head}${to.replace(':', ' ')} ` : line;
  });
  const { setRemoteDescription } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    return setRemoteDescription.call(this, { type: description.type, sdp: replace(description.sdp) });
  };
})();
