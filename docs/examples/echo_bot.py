"""A bot that repeats what people ask it to: "!echo hello" is answered by "hello".

    ROUNDTABLE_URL=http://127.0.0.1:8080 ROUNDTABLE_TOKEN=rtk_... python echo_bot.py

It needs the package `websockets` and an API token with the scopes `events:read` and
`messages:write`. It remembers how far it got in the file `echo_bot.position`, so that it answers what
was said while it was away, and nothing twice: the id of an answer follows from the message.
"""

import asyncio
import json
import os
import pathlib
import random
import uuid

import websockets

URL = os.environ["ROUNDTABLE_URL"].rstrip("/").replace("http", "ws", 1) + "/v1/gateway"
TOKEN = os.environ["ROUNDTABLE_TOKEN"]
REMEMBERED = pathlib.Path(os.environ.get("ECHO_BOT_POSITION", "echo_bot.position"))
ASKED = "!echo "


def answer(event):
    """The command that answers an event, if it is one to answer."""
    if event["type"] != "message.sent":
        return None
    text = event["data"].get("text") or ""
    if not text.startswith(ASKED):
        return None
    message = event["data"]["message"]
    return {
        "op": "command",
        # The same event again gets the same key, and so is not answered twice.
        "id": str(uuid.uuid5(uuid.UUID(message), "echo")),
        "type": "message.send",
        "conversation": event["data"]["conversation"],
        "text": text[len(ASKED):],
        "reply_to": message,
    }


def remember(position):
    """Notes how far it got, so that whenever it ends the file holds one position."""
    new = REMEMBERED.with_suffix(".new")
    new.write_text(position)
    new.replace(REMEMBERED)


async def listen(socket):
    """Says who it is, then answers what comes, until the socket ends."""
    after = REMEMBERED.read_text().strip() if REMEMBERED.exists() else None
    await socket.send(json.dumps({"op": "auth", "token": TOKEN, "after": after or None}))
    waiting = {}
    async for text in socket:
        frame = json.loads(text)
        if frame["op"] == "ready":
            print("ready", flush=True)
            if after is None:
                remember(frame["position"])
        elif frame["op"] == "event":
            command = answer(frame)
            if command:
                waiting[command["id"]] = frame["position"]
                await socket.send(json.dumps(command))
            elif not waiting:
                remember(frame["position"])
        elif frame["op"] in ("result", "error") and frame.get("id") in waiting:
            # Only what was answered is behind us.
            position = waiting.pop(frame["id"])
            if not waiting:
                remember(position)
            print(frame["op"], frame.get("title", ""), flush=True)
        elif frame["op"] == "error":
            print("error", frame["title"], frame.get("detail", ""), flush=True)
        elif frame["op"] == "bye":
            if frame["code"] == "reload":
                # It was away for longer than the feed reaches back: begin with what is now.
                REMEMBERED.unlink(missing_ok=True)
            elif not frame["resume"]:
                raise SystemExit(f"the server says {frame['code']}")
            await asyncio.sleep(frame.get("retry_after_ms", 0) / 1000)


async def main():
    rest = 1.0
    while True:
        try:
            async with websockets.connect(URL, subprotocols=["roundtable.v1"]) as socket:
                rest = 1.0
                await listen(socket)
        except (OSError, websockets.WebSocketException) as error:
            print("lost the socket:", error, flush=True)
        await asyncio.sleep(rest * random.uniform(0.5, 1.5))
        rest = min(rest * 2, 60.0)


if __name__ == "__main__":
    asyncio.run(main())
