"""An SMTP server on loopback that answers each letter as its arguments say, the last one for ever.

An answer is `accept`, or the line that refuses. Writes its port, and then each letter that it
accepts as a line of JSON.
"""

import asyncio
import json
import sys

from aiosmtpd.smtp import SMTP


class Handler:
    def __init__(self, answers):
        self.answers = answers

    async def handle_DATA(self, server, session, envelope):
        answer = self.answers[0]
        if len(self.answers) > 1:
            self.answers.pop(0)
        if answer != "accept":
            return answer
        text = envelope.content.decode()
        print(json.dumps({"to": envelope.rcpt_tos, "from": envelope.mail_from, "text": text}), flush=True)
        return "250 OK"


async def main():
    handler = Handler(sys.argv[1:])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, hostname="localhost"), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
